package load

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

// ProcessTime returns the processor time, user and system, that all threads of a
// process have used, to the nanosecond; pid 0 is this process. It is the system's
// own account, which /proc/PID/stat rounds to hundredths of a second.
func ProcessTime(pid int) (time.Duration, error) {
	const perProcess = 2 // CPUCLOCK_SCHED, as in clock_getcpuclockid(3)
	clock := int32(^pid)<<3 | perProcess
	var ts syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, errno)
	}
	return time.Duration(ts.Nano()), nil
}
