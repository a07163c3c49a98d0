// A NestJS application whose gateways have the events of sockets.mjs, joined to
// the cluster by the RedisIoAdapter of NestJS's documentation. Decorators are
// applied by hand, as compiled TypeScript does.

import "reflect-metadata";

import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { IoAdapter } from "@nestjs/platform-socket.io";
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer } from "@nestjs/websockets";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";

import { events, requestsTimeout } from "./sockets.mjs";

class RedisIoAdapter extends IoAdapter {
  async connectToRedis(url) {
    this.pubClient = createClient({ url });
    this.subClient = this.pubClient.duplicate();
    for (const client of [this.pubClient, this.subClient]) {
      client.on("error", () => {}); // which the documentation leaves out: then Redis's restart ends the process
    }
    await Promise.all([this.pubClient.connect(), this.subClient.connect()]);
    this.adapterConstructor = createAdapter(this.pubClient, this.subClient, { requestsTimeout });
  }

  createIOServer(port, options) {
    const server = super.createIOServer(port, options);
    server.adapter(this.adapterConstructor);
    return server;
  }
}

// gateway makes one of a namespace.
function gateway(namespace) {
  class Gateway {}
  WebSocketServer()(Gateway.prototype, "server");
  for (const [name, handle] of Object.entries(events)) {
    Gateway.prototype[name] = (socket, data) => handle(socket, data);
    ConnectedSocket()(Gateway.prototype, name, 0);
    MessageBody()(Gateway.prototype, name, 1);
    SubscribeMessage(name)(Gateway.prototype, name, Object.getOwnPropertyDescriptor(Gateway.prototype, name));
  }
  WebSocketGateway({ namespace })(Gateway);
  return Gateway;
}

// startNest returns the namespaces by their names, and what stops it.
export async function startNest({ url, port, namespaces }) {
  const gateways = namespaces.map(gateway);
  class AppModule {}
  Module({ providers: gateways })(AppModule);
  const app = await NestFactory.create(AppModule, { logger: false });
  const adapter = new RedisIoAdapter(app);
  await adapter.connectToRedis(url);
  app.useWebSocketAdapter(adapter);
  await app.listen(port, "127.0.0.1");
  return {
    of: (namespace) => app.get(gateways[namespaces.indexOf(namespace)]).server,
    subClient: adapter.subClient,
    async close() {
      await app.close();
      await Promise.all([adapter.pubClient.close(), adapter.subClient.close()]);
    },
  };
}
