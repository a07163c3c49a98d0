// The events of every server here, each with one argument, and what it is acked.

const rooms = (socket) => [...socket.rooms].filter((room) => room !== socket.id).sort();

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
