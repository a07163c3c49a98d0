/** What a client is doing. */
export type State =
  | "connecting" // auth runs, or the handshake
  | "open"
  | "waiting" // until the next attempt
  | "closed"; // for good

export interface Options {
  /**
   * The connect payload: any JSON value, or a function that returns one or a promise
   * of one, called at each connect. It is sent as the first frame. The server's
   * mount must want it (WSOptions.AuthFrame). A function that fails counts as a
   * failed attempt.
   */
  auth?: unknown;

  /**
   * Whether to come back when the connection is lost, or was not made; the default
   * is true. The wait before the first attempt is somewhere between half of min and
   * min, and doubles with every attempt that fails, up to max; a connection that has
   * lasted for max starts anew. When the browser says that its network is back, the
   * client does not wait any longer.
   *
   * A client does not come back after close, nor after the codes 1000, 1002, 1003,
   * 1007 to 1010 and 4000 to 4499. Browsers hide the HTTP status of a handshake that
   * was refused, so after that the client tries again.
   */
  reconnect?: boolean | {
    min?: number; // ms, default 500
    max?: number; // ms, default 30,000
  };

  /** After how many ms without anything from the server to ask for a sign of life; default 25,000. */
  pingInterval?: number;

  /** How many ms to wait for it, and for a handshake, before the connection counts as lost; default 20,000. */
  pongTimeout?: number;

  /** The constructor to use, such as the npm package ws has; default globalThis.WebSocket. */
  WebSocket?: new (url: string, protocol: string) => object;
}

export interface CallOptions {
  /** Cancels at the server, and fails with the signal's reason. */
  signal?: AbortSignal;

  /** The same after so many ms, with a DOMException named TimeoutError; default none. */
  timeout?: number;
}

export interface PullOptions {
  /** Cancels at the server, and fails with the signal's reason, also while the loop waits for an item. */
  signal?: AbortSignal;

  /** How many items the producer may be ahead of the loop; default 16. */
  window?: number;
}

export interface Request {
  /** Of requests only: aborted when the server wants no answer any more, or the connection went. */
  signal?: AbortSignal;
}

/**
 * A client has at most one connection at a time. Nothing is queued while it has none:
 * emit throws a ClosedError, and call and pull fail with one, as do calls and pulls
 * that were going on, which the server may have handled or not. Wait for ready, or for
 * onstate, and send again what matters.
 */
export interface Client {
  readonly state: State;

  /** Called after each change of state, in a microtask; with the reason if it is "waiting" or "closed". */
  onstate: ((state: State, why?: ClosedError) => void) | null;

  /** Resolves when the client is connected, at once if it is, and rejects if it will not be any more. */
  ready(): Promise<void>;

  /** Sends an event. Undefined data is none. */
  emit(event: string, data?: unknown): void;

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

  /** Says goodbye after what was sent before; 1000, or 3000 to 4999, and at most 123 bytes of reason. */
  close(code?: number, reason?: string): void;
}

/**
 * Connects to a plain WebSocket mount at a ws, wss, http or https URL, relative to the
 * page where there is one. It returns at once.
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
