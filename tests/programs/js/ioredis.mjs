// Jobs of ioredis, on a plain node and (cluster…) on a cluster. Each leaves no key behind that another would meet.

import assert from "node:assert/strict";
import { once } from "node:events";
import Redis from "ioredis";
import { portOf, run, until } from "./jobs.mjs";

async function withClient(port, job) {
  const client = new Redis({ port, maxRetriesPerRequest: 3 });
  try {
    await job(client);
  } finally {
    client.disconnect();
  }
}

async function withCluster(port, options, job) {
  const cluster = new Redis.Cluster([{ host: "127.0.0.1", port }], options);
  try {
    await job(cluster);
  } finally {
    cluster.disconnect();
  }
}

const jobs = {
  values: (port) =>
    withClient(port, async (client) => {
      assert.equal(await client.set("io:greeting", "grüß dich", "EX", 100, "NX"), "OK");
      assert.equal(await client.set("io:greeting", "again", "NX"), null);
      assert.equal(await client.get("io:greeting"), "grüß dich");
      assert.ok((await client.ttl("io:greeting")) > 90);
      const bytes = Buffer.from([0, 13, 10, 255]);
      await client.set("io:bytes", bytes);
      assert.deepEqual(await client.getBuffer("io:bytes"), bytes);
      assert.equal(await client.incrbyfloat("io:sum", 1.5), "1.5");
      await client.mset({ "io:a": 1, "io:b": 2 });
      assert.deepEqual(await client.mget("io:a", "io:b", "io:none"), ["1", "2", null]);
      await client.hset("io:hash", { name: "Ann", age: 7 });
      assert.deepEqual(await client.hgetall("io:hash"), { name: "Ann", age: "7" });
      await client.zadd("io:zset", 1, "one", 2.5, "two");
      assert.deepEqual(await client.zrange("io:zset", 0, -1, "WITHSCORES"), ["one", "1", "two", "2.5"]);
      await assert.rejects(client.lpush("io:hash", "x"), /WRONGTYPE/);
    }),

  pipelines: (port) =>
    withClient(port, async (client) => {
      const pipeline = client.pipeline();
      for (let number = 0; number < 1000; number++) pipeline.set(`io:p:${number}`, number);
      pipeline.incr("io:p:999").lpush("io:p:0", "x").get("io:p:5");
      const results = await pipeline.exec();
      assert.equal(results.length, 1003);
      assert.ok(results.slice(0, 1000).every(([error, reply]) => error === null && reply === "OK"));
      assert.deepEqual(results[1000], [null, 1000]);
      assert.match(results[1001][0].message, /WRONGTYPE/);
      assert.deepEqual(results[1002], [null, "5"]);
    }),

  transactions: (port) =>
    withClient(port, async (client) => {
      assert.deepEqual(await client.multi().set("io:tx", 1).incr("io:tx").exec(), [
        [null, "OK"],
        [null, 2],
      ]);
      await client.watch("io:tx");
      await withClient(port, (other) => other.incr("io:tx"));
      assert.equal(await client.multi().set("io:tx", "lost").exec(), null);
      assert.equal(await client.get("io:tx"), "3");
    }),

  blocking: (port) =>
    withClient(port, (waiting) =>
      withClient(port, async (client) => {
        const popped = waiting.blpop("io:none", "io:queue", 10);
        await until(async () => /^blocked_clients:[1-9]/m.test(await client.info("clients")));
        await client.rpush("io:queue", "job");
        assert.deepEqual(await popped, ["io:queue", "job"]);
        assert.equal(await waiting.blpop("io:none", 0.05), null);
      }),
    ),

  streams: (port) =>
    withClient(port, async (client) => {
      await client.xgroup("CREATE", "io:stream", "group", "$", "MKSTREAM");
      const id = await client.xadd("io:stream", "MAXLEN", "~", 1000, "*", "colour", "red");
      const read = await client.xreadgroup("GROUP", "group", "me", "COUNT", 10, "BLOCK", 1000, "STREAMS", "io:stream", ">");
      assert.deepEqual(read, [["io:stream", [[id, ["colour", "red"]]]]]);
      assert.deepEqual(await client.xpending("io:stream", "group"), [1, id, id, [["me", "1"]]]);
      assert.equal(await client.xack("io:stream", "group", id), 1);
    }),

  scans: (port) =>
    withClient(port, async (client) => {
      const wanted = new Set();
      for (let number = 0; number < 300; number++) wanted.add(`io:scan:${number}`);
      await client.mset(...[...wanted].flatMap((key) => [key, 1]));
      const found = new Set();
      for await (const keys of client.scanStream({ match: "io:scan:*", count: 50 })) keys.forEach((key) => found.add(key));
      assert.deepEqual(found, wanted);
    }),

  // A client whose connection is cut comes back by itself, finds the node ready by INFO, and sends what was queued.
  reconnecting: (port) =>
    withClient(port, (other) =>
      withClient(port, async (client) => {
        await client.set("io:kept", "yes");
        const id = await client.client("ID");
        const again = once(client, "ready");
        assert.equal(await other.client("KILL", "ID", id), 1);
        await again;
        assert.equal(await client.get("io:kept"), "yes");
        assert.notEqual(await client.client("ID"), id);
      }),
    ),

  monitoring: (port) =>
    withClient(port, async (client) => {
      // ioredis takes a line that comes in one piece with MONITOR's OK for a reply nobody asked for, and dies of it: its
      // own INFO, which it sends as it connects, must be over.
      await once(client, "ready");
      const monitor = await client.monitor();
      const seen = new Promise((resolve) => monitor.on("monitor", (_time, args) => args[0] === "set" && resolve(args)));
      await client.set("io:watched", 'a "quoted" word');
      assert.deepEqual(await seen, ["set", "io:watched", 'a "quoted" word']);
      monitor.disconnect();
    }),

  subscriptions: (port) =>
    withClient(port, (listener) =>
      withClient(port, async (client) => {
        const heard = [];
        listener.on("message", (channel, message) => heard.push(["message", channel, message]));
        listener.on("pmessage", (pattern, channel, message) => heard.push([pattern, channel, message]));
        assert.equal(await listener.subscribe("io:news", "io:other"), 2);
        assert.equal(await listener.psubscribe("io:n?ws"), 3);
        assert.equal(await client.publish("io:news", "first"), 2);
        assert.equal(await client.publish("io:nobody", "x"), 0);
        await until(() => heard.length === 2);
        assert.deepEqual(heard, [
          ["message", "io:news", "first"],
          ["io:n?ws", "io:news", "first"],
        ]);
        assert.equal(await listener.unsubscribe("io:news", "io:other"), 1);
        assert.equal(await listener.punsubscribe("io:n?ws"), 0);
        assert.equal(await listener.ping(), "PONG");
      }),
    ),

  // Subscriptions are taken up again after a cut connection.
  resubscribing: (port) =>
    withClient(port, (listener) =>
      withClient(port, async (client) => {
        const id = await listener.client("ID");
        await listener.subscribe("io:again");
        const heard = once(listener, "message");
        await client.client("KILL", "ID", id);
        await until(async () => (await client.publish("io:again", "there")) === 1);
        assert.deepEqual(await heard, ["io:again", "there"]);
      }),
    ),

  scripts: (port) =>
    withClient(port, async (client) => {
      client.defineCommand("addTo", { numberOfKeys: 1, lua: "return redis.call('incrby', KEYS[1], ARGV[1])" });
      assert.equal(await client.addTo("io:script", 5), 5);
      assert.equal(await client.addTo("io:script", 5), 10);
    }),

  clusterValues: (port) =>
    withCluster(port, {}, async (cluster) => {
      const numbers = [...Array(200).keys()];
      await Promise.all(numbers.map((number) => cluster.set(`io:${number}`, number)));
      assert.deepEqual(await Promise.all(numbers.map((number) => cluster.get(`io:${number}`))), numbers.map(String));
      assert.equal(cluster.nodes("master").length, 3);
      const sizes = await Promise.all(cluster.nodes("master").map((node) => node.dbsize()));
      assert.ok(sizes.every((size) => size > 0));
      await cluster.mset("{io}:a", 1, "{io}:b", 2);
      assert.deepEqual(await cluster.mget("{io}:a", "{io}:b"), ["1", "2"]);
      await assert.rejects(cluster.mget("io:1", "io:2"), /CROSSSLOT/);
    }),

  clusterPipelines: (port) =>
    withCluster(port, {}, async (cluster) => {
      assert.deepEqual(await cluster.pipeline().set("{io}:p", 1).incr("{io}:p").get("{io}:p").exec(), [
        [null, "OK"],
        [null, 2],
        [null, "2"],
      ]);
      assert.deepEqual(await cluster.multi().incr("{io}:p").get("{io}:p").exec(), [
        [null, 3],
        [null, "3"],
      ]);
    }),

  clusterReplicas: (port) =>
    withCluster(port, { scaleReads: "slave" }, async (cluster) => {
      assert.equal(await cluster.set("{io}:copied", "yes"), "OK");
      await until(async () => (await cluster.get("{io}:copied")) === "yes");
      assert.equal(cluster.nodes("slave").length, 3);
    }),

  clusterSubscriptions: (port) =>
    withCluster(port, {}, (listener) =>
      withCluster(port, {}, async (cluster) => {
        const heard = [];
        listener.on("message", (channel, message) => heard.push([channel, message]));
        await listener.subscribe("io:cluster-news");
        await until(async () => {
          await cluster.publish("io:cluster-news", "hello");
          return heard.length > 0;
        });
        assert.deepEqual(heard[0], ["io:cluster-news", "hello"]);
      }),
    ),

  clusterShardSubscriptions: (port) =>
    withCluster(port, { shardedSubscribers: true }, async (cluster) => {
      const heard = new Map();
      cluster.on("smessage", (channel, message) => heard.set(channel, message));
      const channels = [...Array(20).keys()].map((number) => `io:shard:${number}`);
      for (const channel of channels) await cluster.ssubscribe(channel);
      for (const channel of channels) assert.equal(await cluster.spublish(channel, `to ${channel}`), 1);
      await until(() => heard.size === channels.length);
      assert.deepEqual(heard, new Map(channels.map((channel) => [channel, `to ${channel}`])));
    }),

  // Counts up at the primary that a sentinel names, until that is another one and has taken a write.
  sentinel: async (port) => {
    const client = new Redis({
      sentinels: [{ host: "127.0.0.1", port }],
      name: "myprimary",
      password: "123456",
      maxRetriesPerRequest: null,
    });
    try {
      const first = portOf(await client.info("server"));
      await until(async () => {
        await client.incr("io:count");
        return portOf(await client.info("server")) !== first;
      });
      assert.ok((await client.incr("io:count")) > 0);
    } finally {
      client.disconnect();
    }
  },
};

await run(jobs);
