// Classify one document from Node.js, without any package: the message is written by hand.
//
//     node examples/producer.mjs file:///srv/inbox/4711.pdf
//
// Celery's protocol 2 on Redis: a message is JSON in a list that is named after its queue, and the result is JSON under
// the task's own key. Encrypted lines (rediss://) need node:tls in place of node:net; nothing else changes.

import { randomUUID } from "node:crypto";
import { connect } from "node:net";

const url = new URL(process.env.DOCINTAKE_BROKER__URL);
const prefix = process.env.DOCINTAKE_BROKER__KEY_PREFIX ?? "";
const PRIORITY = 3; // 0 is urgent, 3 normal, 9 bulk
const PATIENCE = 120_000; // milliseconds

/** A connection to Redis: commands in, replies out, one after the other. */
class Redis {
  #socket;
  #waiting = [];
  #buffer = Buffer.alloc(0);

  static async open({ hostname, port, username, password, pathname }) {
    const redis = new Redis();
    redis.#socket = connect(Number(port || 6379), hostname);
    redis.#socket.on("data", (data) => redis.#read(data));
    redis.#socket.on("error", (error) => redis.#waiting.splice(0).forEach(({ reject }) => reject(error)));
    if (password) {
      const words = [username, password].filter(Boolean).map(decodeURIComponent);
      await redis.send("AUTH", ...words);
    }
    await redis.send("SELECT", pathname.slice(1) || "0");
    return redis;
  }

  send(...words) {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(`*${words.length}\r\n${parts.join("")}`);
    });
  }

  close() {
    this.#socket.end();
  }

  #read(data) {
    this.#buffer = Buffer.concat([this.#buffer, data]);
    for (let end = this.#buffer.indexOf("\r\n"); end >= 0; end = this.#buffer.indexOf("\r\n")) {
      const kind = String.fromCharCode(this.#buffer[0]);
      const line = this.#buffer.toString("utf8", 1, end);
      let value = line;
      let next = end + 2;
      if (kind === "$") {
        const length = Number(line);
        if (length >= 0 && this.#buffer.length < next + length + 2) return; // the rest is on its way
        value = length < 0 ? null : this.#buffer.toString("utf8", next, next + length);
        next += length < 0 ? 0 : length + 2;
      }
      this.#buffer = this.#buffer.subarray(next);
      const { resolve, reject } = this.#waiting.shift();
      if (kind === "-") reject(new Error(line));
      else resolve(value);
    }
  }
}

function messageFor(task, queue, request) {
  const id = randomUUID();
  const embed = { callbacks: null, errbacks: null, chain: null, chord: null };
  const body = Buffer.from(JSON.stringify([[], request, embed])).toString("base64");
  const message = {
    body,
    "content-type": "application/json",
    "content-encoding": "utf-8",
    headers: {
      lang: "js",
      task,
      id,
      root_id: id,
      parent_id: null,
      group: null,
      retries: 0,
      eta: null,
      expires: null,
      timelimit: [null, null],
      ignore_result: false,
      argsrepr: "", // so that monitors show nothing of what was asked
      kwargsrepr: Object.keys(request).join(", "),
      sent_at: Date.now() / 1000, // so that its waiting is measured
    },
    properties: {
      correlation_id: id,
      reply_to: randomUUID(),
      delivery_mode: 2,
      delivery_info: { exchange: "", routing_key: queue },
      delivery_tag: randomUUID(),
      priority: PRIORITY,
      body_encoding: "base64",
    },
  };
  // Messages of a priority other than 0 stand in a list of their own.
  const list = PRIORITY === 0 ? queue : `${queue}\x06\x16${PRIORITY}`;
  return { id, list: `${prefix}${list}`, message: JSON.stringify(message) };
}

async function resultOf(redis, id) {
  for (const deadline = Date.now() + PATIENCE; Date.now() < deadline; ) {
    const kept = JSON.parse((await redis.send("GET", `${prefix}celery-task-meta-${id}`)) ?? "{}");
    if (kept.status === "SUCCESS") return kept.result;
    if (kept.status === "FAILURE") {
      const [code, message] = kept.result.exc_message;
      throw new Error(`${kept.result.exc_type} ${code}: ${message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no result of ${id} within ${PATIENCE / 1000} s; it goes on`);
}

const redis = await Redis.open(url);
try {
  const request = { document: process.argv[2], external_id: "case-4711" };
  const { id, list, message } = messageFor("docintake.classify", "classify", request);
  await redis.send("LPUSH", list, message);
  const result = await resultOf(redis, id);
  console.log(result.prediction, result.confidence.toFixed(2), result.status, ...result.reasons);
} catch (error) {
  console.log(error.message);
  process.exitCode = 1;
} finally {
  redis.close();
}
