// What all servers here have in common.

// requestsTimeout is for how many ms an adapter waits for the others' answers: longer
// than the tests do, so that each of them has to come.
export const requestsTimeout = 3_600_000;

const rooms = (socket) => [...socket.rooms].filter((room) => room !== socket.id).sort();

// events are each with one argument, and what it is acked.
export const events = {
  async join(socket, room) {
    await socket.join(room);
    return rooms(socket);
  },

  async leave(socket, room) {
    await socket.leave(room);
    return rooms(socket);
  },

  data(socket, value) {
    socket.data = value;
    return true;
  },

  // others is [event, ...args] to everyone but the one who asks.
  others(socket, event) {
    socket.broadcast.emit(...event);
    return true;
  },

  // neighbours is [room, event, ...args] to the others in a room.
  neighbours(socket, [room, ...event]) {
    socket.to(room).emit(...event);
    return true;
  },
};
