/** What a client is doing. */
export type State =
  | "connecting" // auth runs, or the handshake
  | "open"
  | "waiting" // until the next attempt
  | "closed"; // for good

/**
 * What goes beside the data of what is sent, for what every event of a kind has: the
 * trace (traceparent, tracestate and baggage), or a tenant. Handlers read it with
 * Context.Meta. All of it may have 1,024 bytes as JSON; what does not fit, and what is no
 * string, is left out.
 */
export type Meta = Record<string, string>;

/** Meta, or what says it of each event; if that throws, the console is told, and nothing goes beside the data. */
export type MetaSource = Meta | ((event: string) => Meta | undefined);

/** What a client may be told; see connect. */
export interface Options {
  /**
   * The connect payload: any data, or a function that returns one or a promise
   * of one, called at each connect. It is sent as the first frame. The server's
   * mount must want it (WSOptions.AuthFrame). A function that fails counts as a
   * failed attempt.
   */
  auth?: unknown;

  /** What goes beside the data of each emit, call and pull: the trace, say. */
  meta?: MetaSource;

  /**
   * Whether to come back when the connection is lost, or was not made; the default
   * is true. The wait before the first attempt is somewhere between half of min and
   * min, and doubles with every attempt that fails, up to max; a connection that has
   * lasted for max starts anew. When the browser says that its network is there again
   * (its event "online"), the client does not wait any longer.
   *
   * A client does not come back after close, nor after the codes 1000, 1002, 1003,
   * 1007 to 1010 and 4000 to 4499. Browsers hide the HTTP status of a handshake that
   * was refused, so after that the client tries again.
   */
  reconnect?: boolean | {
    min?: number; // ms, default 500
    max?: number; // ms, default 30,000
  };

  /**
   * After how many ms without anything from the server to ask for a sign of life;
   * default 25,000. When the browser says that its network is there again, the client
   * asks at once: the connection may have gone with the old one.
   */
  pingInterval?: number;

  /** How many ms to wait for it, and for a handshake, before the connection counts as lost; default 20,000. */
  pongTimeout?: number;

  /**
   * Whether the connection outlives the network, if the server's Options.Recovery lets
   * it; default false. When it is lost without a goodbye, or the server closes it with
   * 4900, it is away: the client comes back to it as reconnect says, with auth anew, and
   * both sides get what they have missed, in order and once. Calls and pulls go on, and
   * what emit, call and pull send meanwhile waits. To the server it is the same
   * connection, with its rooms and values; here onOpen is not called again, and no signal
   * is aborted.
   *
   * The client keeps maxBytes of what the server may not have. While it is away, what
   * does not fit fails with the ClosedError of the loss; while it is connected the oldest
   * is forgotten, and if the connection is lost before the server says that it has that,
   * it has ended.
   *
   * If the client does not come back in time, or the server has no such connection any
   * more, it has ended: all that went on or was waiting fails with the ClosedError of the
   * loss, although the server may have got a part, and the client connects anew. The same
   * happens with the connection of a page that is reloaded: what it takes to come back
   * is kept in memory only. Without reconnect, and with a server that has no Recovery,
   * resume does nothing.
   */
  resume?: boolean | {
    maxBytes?: number; // of JSON; default 1,048,576
  };

  /**
   * The constructor to use, such as the npm package ws has; default globalThis.WebSocket.
   * With resume it gets two protocols, in an array.
   */
  WebSocket?: new (url: string, protocol: any) => object;
}

/** What goes with an emit. */
export interface EmitOptions {
  /** Beside the data; goes before the client's own meta, of equal keys. */
  meta?: MetaSource;
}

/** How long a call may take, and what goes with it. */
export interface CallOptions extends EmitOptions {
  /** Cancels at the server, and fails with the signal's reason. */
  signal?: AbortSignal;

  /** The same after so many ms, with a DOMException named TimeoutError; default none. */
  timeout?: number;
}

/** How a stream is taken, and what goes with its request. */
export interface PullOptions extends EmitOptions {
  /** Cancels at the server, and fails with the signal's reason, also while the loop waits for an item. */
  signal?: AbortSignal;

  /** How many items the producer may be ahead of the loop; default 16. */
  window?: number;
}

/** What a listener is told of the event beside its data. */
export interface Request {
  /** Of requests only: aborted when the server wants no answer any more, or the connection went. */
  signal?: AbortSignal;

  /** What the server has sent beside the data; empty if that is nothing. */
  meta: Meta;
}

/** What a function of onOpen is told of the connection. */
export interface Connection {
  /** Aborted with a ClosedError when the connection has ended, or by the function that onOpen returned. */
  signal: AbortSignal;
}

/**
 * A client has at most one connection at a time. Without the option resume nothing is
 * queued while it has none: emit throws a ClosedError, and call and pull fail with one, as
 * do calls and pulls that were going on, which the server may have handled or not. Wait
 * for ready, and send again what matters; what every connection needs goes into onOpen.
 *
 * Data is what JSON.stringify takes, toJSON included, and bytes: an ArrayBuffer, a
 * typed array or a DataView becomes a base64 string of them, at any depth. What would
 * be lost is a TypeError that names its place, as in "data.files[2] cannot be sent: it
 * is of class Blob": functions, symbols, BigInts, cycles, and objects with a content
 * that JSON does not see, such as Map, Set, Blob, Error and Promise. As with JSON,
 * undefined members are left out, and NaN is null.
 */
export interface Client {
  readonly state: State;

  /**
   * Whether the connection was lost and the client tries to come back to it, see the
   * option resume. The state is "waiting" or "connecting" then.
   */
  readonly away: boolean;

  /** Whether the connection that there is has been lost, and the client has come back to it: then nothing was missed. */
  readonly recovered: boolean;

  /**
   * Called after each change of state, in a microtask; with the reason if it is "waiting"
   * or "closed". It is called, too, when a connection that is away has ended, so a page
   * can show all of it:
   *
   *     client.onstate = (state) => {
   *       if (client.away) show("Offline, what you send waits");
   *       else if (state !== "open") show("Connecting…");
   *       else show(client.recovered ? "Back, nothing was missed" : "Connected");
   *     };
   */
  onstate: ((state: State, why?: ClosedError) => void) | null;

  /** Resolves when the client is connected, at once if it is, and rejects if it will not be any more. */
  ready(): Promise<void>;

  /**
   * Calls fn for each connection that is made, before ready resolves, and soon if there
   * is one now, or one that is away; not for one that has come back. Returns a function that ends that, and aborts the signal. This is where
   * a page watches again what it watched:
   *
   *     client.onOpen(async ({ signal }) => {
   *       for await (const price of client.pull("prices", "GOOG", { signal })) show(price);
   *     });
   *
   * An error that fn fails with once its signal is aborted was to be expected; any other
   * is reported by the runtime as an unhandled rejection.
   */
  onOpen(fn: (connection: Connection) => unknown): () => void;

  /** Sends an event. Undefined data is none. */
  emit(event: string, data?: unknown, options?: EmitOptions): void;

  /**
   * Adds a listener and returns a function that removes it. Answers to requests never
   * reach listeners. Failures of plain events do, as the event "exception".
   *
   * If the event is a request, all its listeners are called, and the answer is what
   * the first of them returned that did not return undefined, as a value or a promise;
   * without one it is empty. A WsError that a listener throws is the answer then;
   * another error is written to the console, and the server sees none of it. If the
   * event is no request, nothing is sent back.
   */
  on<T = any>(event: string, fn: (data: T, request: Request) => unknown): () => void;

  /**
   * Sends a request. Resolves with the answer, undefined if it has no data. Rejects with
   * a WsError that the server answered with, a ClosedError, an Error if a stream
   * came, or as the options say.
   */
  call<T = any>(event: string, data?: unknown, options?: CallOptions): Promise<T>;

  /**
   * Sends a request when iteration begins, and iterates over the stream that answers
   * it; a plain answer is a stream of one. Leaving the loop cancels at the server.
   * Errors are those of call.
   */
  pull<T = any>(event: string, data?: unknown, options?: PullOptions): AsyncGenerator<T, void, void>;

  /**
   * Connects anew, now, with the auth of now: without a wait if it is "waiting", after a
   * goodbye with 1000 to a connection that there is, and also if it is "closed".
   * Listeners stay. Calls and pulls that go on fail, as with any end; but a connection
   * that is away it comes back to. Close first, if another user has signed in.
   */
  reconnect(): void;

  /**
   * Says goodbye after what was sent before; 1000, or 3000 to 4999, and at most 123 bytes
   * of reason. Who is away cannot say it: the server waits until its window is over.
   */
  close(code?: number, reason?: string): void;
}

/**
 * Connects to a plain WebSocket mount at a ws, wss, http or https URL. It may be
 * relative, as for the browser's own WebSocket, to document.baseURI or the worker's
 * address, and in what was made from a blob to the origin of who made it. It returns at
 * once, and throws a TypeError for a URL that is none.
 */
export function connect(url: string | URL, options?: Options): Client;

/** What a handler failed with: one at the server, or a listener that throws it here. */
export class WsError extends Error {
  constructor(message: string, body?: { code?: string; data?: unknown; status?: string });
  readonly status: string;
  readonly code?: string;
  readonly data?: any;
}

/** How a connection ended, or why there is none. Code 1006 is an end without a close frame. */
export class ClosedError extends Error {
  constructor(code: number, reason?: string, cause?: unknown);
  readonly code: number;
  readonly reason: string;
}
