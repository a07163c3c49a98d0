// NestJS with one of the gateways below: node nest.mjs GATEWAY
// It prints its address and runs until it is ended. Decorators are applied by
// hand, as compiled TypeScript does.

import "reflect-metadata";

import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { IoAdapter } from "@nestjs/platform-socket.io";
import { WsAdapter } from "@nestjs/platform-ws";
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer, WsException } from "@nestjs/websockets";
import { from, map } from "rxjs";

// method decorates a method and its parameters.
function method(type, name, decorators, ...params) {
  params.forEach((decorate, i) => decorate(type.prototype, name, i));
  for (const decorate of decorators) {
    decorate(type.prototype, name, Object.getOwnPropertyDescriptor(type.prototype, name));
  }
}

// Sample 02-gateways.
class EventsGateway {
  findAll() {
    return from([1, 2, 3]).pipe(map((item) => ({ event: "events", data: item })));
  }

  async identity(data) {
    return data;
  }
}
WebSocketServer()(EventsGateway.prototype, "server");
method(EventsGateway, "findAll", [SubscribeMessage("events")], MessageBody());
method(EventsGateway, "identity", [SubscribeMessage("identity")], MessageBody());
WebSocketGateway({ cors: { origin: "*" } })(EventsGateway);

// Sample 16-gateways-ws, on the port of the application.
class EventsGatewayWS {
  onEvent() {
    return from([1, 2, 3]).pipe(map((item) => ({ event: "events", data: item })));
  }
}
method(EventsGatewayWS, "onEvent", [SubscribeMessage("events")]);
WebSocketGateway()(EventsGatewayWS);

// The events of examples/gateway that NestJS has something like.
class Tour {
  events(data) {
    if (data === undefined || data === null || data === "") {
      throw new WsException("数据不能为空！");
    }
    return data;
  }

  id(id) {
    return id;
  }

  custom(client, data) {
    if (typeof client.join === "function") {
      client.emit("custom", "Hey there!");
    } else { // a WebSocket of ws has no events
      client.send(JSON.stringify({ event: "custom", data: "Hey there!" }));
    }
    return data;
  }

  response(data) {
    return { event: "events", data };
  }

  numbers() {
    return from([1, 2, 3]).pipe(map((item) => ({ event: "events", data: item })));
  }

  fail() {
    throw new WsException({ status: "error", message: "not today", code: "E_FAIL", data: { retry: true } });
  }

  boom() {
    throw new Error("secret");
  }

  ask(client, data, answer) {
    return new Promise((resolve) => client.emit("question", data, resolve));
  }

  async join(client, room) {
    await client.join(room);
    return [room];
  }

  cast(data) {
    this.server.emit("cast", data);
  }
}
WebSocketServer()(Tour.prototype, "server");
for (const name of ["events", "response", "cast"]) {
  method(Tour, name, [SubscribeMessage(name)], MessageBody());
}
method(Tour, "id", [SubscribeMessage("id")], MessageBody("id"));
for (const name of ["custom", "join", "ask"]) {
  method(Tour, name, [SubscribeMessage(name)], ConnectedSocket(), MessageBody());
}
for (const name of ["numbers", "fail", "boom"]) {
  method(Tour, name, [SubscribeMessage(name)]);
}
class TourWS extends Tour {}
WebSocketGateway()(Tour);
WebSocketGateway({ path: "/ws" })(TourWS);

const [name] = process.argv.slice(2);
const gateway = { "02": EventsGateway, "16": EventsGatewayWS, tourIO: Tour, tourWS: TourWS }[name];
class AppModule {}
Module({ providers: [gateway] })(AppModule);
const app = await NestFactory.create(AppModule, { logger: false });
app.useWebSocketAdapter(name === "02" || name === "tourIO" ? new IoAdapter(app) : new WsAdapter(app));
await app.listen(0, "127.0.0.1");
console.log(JSON.stringify(`http://127.0.0.1:${app.getHttpServer().address().port}`));
