// A NestJS application with one gateway, on either adapter. Decorators are
// applied by hand, as compiled TypeScript does.

import "reflect-metadata";

import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer } from "@nestjs/websockets";

import { announce } from "./control.mjs";

function gateway(broadcast) {
  class Gateway {
    echo(data) {
      return { event: "echo", data: String(data) };
    }

    broadcast(data) {
      broadcast(this.server, String(data));
    }
  }
  for (const event of ["echo", "broadcast"]) {
    MessageBody()(Gateway.prototype, event, 0);
    SubscribeMessage(event)(Gateway.prototype, event, Object.getOwnPropertyDescriptor(Gateway.prototype, event));
  }
  WebSocketServer()(Gateway.prototype, "server");
  return Gateway;
}

// run serves with the Adapter; broadcast(server, data) sends "news" to everybody.
export async function run(Adapter, options, broadcast) {
  const Gateway = gateway(broadcast);
  WebSocketGateway(options)(Gateway);
  class AppModule {}
  Module({ providers: [Gateway] })(AppModule);
  const app = await NestFactory.create(AppModule, { logger: ["error"] });
  app.useWebSocketAdapter(new Adapter(app));
  await app.listen(0, "127.0.0.1");
  announce(app.getHttpServer().address());
}
