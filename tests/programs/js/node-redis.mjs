// Jobs of node-redis, in either protocol, on a plain node and (cluster…) on a cluster: `node PROGRAM JOB PORT PROTOCOL`.

import assert from "node:assert/strict";
import {
  BasicClientSideCache, createClient, createClientPool, createCluster, createSentinel, defineScript, RESP_TYPES, WatchError,
} from "redis";
import { portOf, run, until } from "./jobs.mjs";

const RESP = Number(process.argv[4] ?? 2);

const ADD_TO = defineScript({
  SCRIPT: "return redis.call('incrby', KEYS[1], ARGV[1])",
  NUMBER_OF_KEYS: 1,
  parseCommand(parser, key, amount) {
    parser.pushKey(key);
    parser.push(String(amount));
  },
  transformReply: undefined,
});

async function withClient(port, job, options = {}) {
  const client = createClient({ socket: { port }, RESP, ...options });
  client.on("error", () => {}); // Cut connections are told here; the jobs look at what comes of them.
  await client.connect();
  try {
    await job(client);
  } finally {
    client.destroy();
  }
}

async function withCluster(port, job, options = {}) {
  const cluster = createCluster({ rootNodes: [{ socket: { port } }], defaults: { RESP }, ...options });
  await cluster.connect();
  try {
    await job(cluster);
  } finally {
    cluster.destroy();
  }
}

const jobs = {
  values: (port) =>
    withClient(port, async (client) => {
      assert.equal(await client.set("nr:greeting", "grüß dich", { expiration: { type: "EX", value: 100 } }), "OK");
      assert.equal(await client.set("nr:greeting", "again", { condition: "NX" }), null);
      assert.equal(await client.get("nr:greeting"), "grüß dich");
      assert.ok((await client.ttl("nr:greeting")) > 90);
      await client.mSet({ "nr:a": "1", "nr:b": "2" });
      assert.deepEqual(await client.mGet(["nr:a", "nr:b", "nr:none"]), ["1", "2", null]);
      await client.hSet("nr:hash", { name: "Ann", age: 7 });
      assert.deepEqual({ ...(await client.hGetAll("nr:hash")) }, { name: "Ann", age: "7" });
      await client.zAdd("nr:zset", [{ score: 1, value: "one" }, { score: 2.5, value: "two" }]);
      assert.deepEqual(await client.zRangeWithScores("nr:zset", 0, -1), [
        { score: 1, value: "one" },
        { score: 2.5, value: "two" },
      ]);
      await client.sAdd("nr:set", ["x", "y"]);
      assert.deepEqual(new Set(await client.sMembers("nr:set")), new Set(["x", "y"]));
      const bytes = Buffer.from([0, 13, 10, 255]);
      await client.set("nr:bytes", bytes);
      assert.deepEqual(await client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).get("nr:bytes"), bytes);
      await assert.rejects(client.lPush("nr:hash", "x"), /WRONGTYPE/);
    }),

  // Commands sent in one turn of the event loop share a write.
  pipelines: (port) =>
    withClient(port, async (client) => {
      const numbers = [...Array(1000).keys()];
      await Promise.all(numbers.map((number) => client.set(`nr:p:${number}`, number)));
      assert.deepEqual(await client.multi().incr("nr:p:5").get("nr:p:6").execAsPipeline(), [6, "6"]);
    }),

  transactions: (port) =>
    withClient(port, async (client) => {
      assert.deepEqual(await client.multi().set("nr:tx", 1).incr("nr:tx").get("nr:none").exec(), ["OK", 2, null]);
      await client.watch("nr:tx");
      await withClient(port, (other) => other.incr("nr:tx"));
      await assert.rejects(client.multi().set("nr:tx", "lost").exec(), WatchError);
      assert.equal(await client.get("nr:tx"), "3");
    }),

  // Clients that wait are taken from a pool, so that they hold up no other command.
  pools: async (port) => {
    const pool = await createClientPool({ socket: { port }, RESP }, { minimum: 1, maximum: 5, cleanupDelay: 50 }).connect();
    try {
      const popped = pool.blPop("nr:queue", 10);
      await until(async () => /^blocked_clients:[1-9]/m.test(await pool.info("clients")));
      await pool.rPush("nr:queue", "job");
      assert.deepEqual({ ...(await popped) }, { key: "nr:queue", element: "job" });
    } finally {
      pool.destroy();
    }
  },

  streams: (port) =>
    withClient(port, async (client) => {
      await client.xGroupCreate("nr:stream", "group", "$", { MKSTREAM: true });
      const id = await client.xAdd("nr:stream", "*", { colour: "red" });
      const read = await client.xReadGroup("group", "me", { key: "nr:stream", id: ">" }, { BLOCK: 1000 });
      if (RESP === 2) {
        const [{ name, messages }] = read;
        assert.deepEqual([name, messages[0].id, messages[0].message.colour], ["nr:stream", id, "red"]);
      } else {
        assert.deepEqual({ ...read }, { "nr:stream": [[id, ["colour", "red"]]] }); // given on as the map it is
      }
      assert.equal((await client.xPending("nr:stream", "group")).pending, 1);
      assert.equal(await client.xAck("nr:stream", "group", id), 1);
      const info = await client.xInfoStream("nr:stream");
      assert.equal(info.length, 1);
      assert.equal(info["entries-added"], 1);
    }),

  scans: (port) =>
    withClient(port, async (client) => {
      const wanted = new Set([...Array(300).keys()].map((number) => `nr:scan:${number}`));
      await client.mSet([...wanted].map((key) => [key, "1"]));
      const found = new Set();
      for await (const keys of client.scanIterator({ MATCH: "nr:scan:*", COUNT: 50 })) keys.forEach((key) => found.add(key));
      assert.deepEqual(found, wanted);
    }),

  reconnecting: (port) =>
    withClient(port, (other) =>
      withClient(port, async (client) => {
        const id = await client.clientId();
        const again = new Promise((resolve) => client.once("ready", resolve));
        assert.equal(await other.clientKill({ filter: "ID", id }), 1);
        await again;
        assert.notEqual(await client.clientId(), id);
      }),
    ),

  subscriptions: (port) =>
    withClient(port, (listener) =>
      withClient(port, async (client) => {
        const heard = [];
        await listener.subscribe("nr:news", (message, channel) => heard.push([channel, message]));
        await listener.pSubscribe("nr:n?ws", (message, channel) => heard.push(["pattern", channel, message]));
        assert.equal(await client.publish("nr:news", "first"), 2);
        await until(() => heard.length === 2);
        assert.deepEqual(heard, [
          ["nr:news", "first"],
          ["pattern", "nr:news", "first"],
        ]);
        if (RESP === 3) {
          assert.equal(await listener.exists("nr:nothing"), 0); // RESP3 lets a subscriber go on with commands.
        }
        await listener.unsubscribe("nr:news");
        await listener.pUnsubscribe("nr:n?ws");
        assert.equal(await listener.exists("nr:nothing"), 0);
      }),
    ),

  scripts: (port) =>
    withClient(
      port,
      async (client) => {
        assert.equal(await client.addTo("nr:script", 5), 5);
        assert.equal(await client.addTo("nr:script", 5), 10);
      },
      { scripts: { addTo: ADD_TO } },
    ),

  functions: (port) =>
    withClient(port, async (client) => {
      const code = "#!lua name=nr\nredis.register_function('ten', function(keys, args) return 10 end)";
      assert.equal(await client.functionLoad(code, { REPLACE: true }), "nr");
      assert.equal(await client.fCall("ten", { keys: [], arguments: [] }), 10);
    }),

  accessLists: (port) =>
    withClient(port, async (client) => {
      assert.equal(await client.aclWhoAmI(), "default");
      assert.equal(await client.aclSetUser("nr:reader", ["on", ">secret", "~nr:*", "+get"]), "OK");
      await withClient(
        port,
        async (reader) => {
          await reader.get("nr:any");
          await assert.rejects(reader.set("nr:any", 1), /NOPERM/);
        },
        { username: "nr:reader", password: "secret" },
      );
      assert.equal(await client.aclDelUser("nr:reader"), 1);
    }),

  // What is cached by the client is dropped by it when another client changes the key (CLIENT TRACKING, RESP3).
  clientSideCaching: async (port) => {
    const clientSideCache = new BasicClientSideCache();
    await withClient(
      port,
      async (client) => {
        await withClient(port, async (other) => {
          await other.set("nr:cached", "old");
          assert.equal(await client.get("nr:cached"), "old");
          assert.equal(await client.get("nr:cached"), "old");
          assert.equal(clientSideCache.stats().hitCount, 1);
          await other.set("nr:cached", "new");
          await until(async () => (await client.get("nr:cached")) === "new");
        });
      },
      { RESP: 3, clientSideCache, socket: { port, reconnectStrategy: false } },
    );
  },

  clusterValues: (port) =>
    withCluster(port, async (cluster) => {
      const numbers = [...Array(200).keys()];
      await Promise.all(numbers.map((number) => cluster.set(`nr:${number}`, number)));
      assert.deepEqual(await Promise.all(numbers.map((number) => cluster.get(`nr:${number}`))), numbers.map(String));
      assert.equal(cluster.masters.length, 3);
      assert.deepEqual(await cluster.multi().set("{nr}:a", 1).incr("{nr}:a").exec(), ["OK", 2]);
      await assert.rejects(cluster.mGet(["nr:1", "nr:2"]), /CROSSSLOT/);
    }),

  clusterReplicas: (port) =>
    withCluster(
      port,
      async (cluster) => {
        assert.equal(cluster.replicas.length, 3);
        await cluster.set("{nr}:copied", "yes");
        await until(async () => (await cluster.get("{nr}:copied")) === "yes");
      },
      { useReplicas: true },
    ),

  clusterSubscriptions: (port) =>
    withCluster(port, async (cluster) => {
      const heard = [];
      await cluster.subscribe("nr:cluster-news", (message) => heard.push(message));
      await until(async () => {
        await cluster.publish("nr:cluster-news", "hello");
        return heard.length > 0;
      });
      assert.equal(heard[0], "hello");
    }),

  clusterShardSubscriptions: (port) =>
    withCluster(port, async (cluster) => {
      const heard = new Map();
      const channels = [...Array(20).keys()].map((number) => `nr:shard:${number}`);
      for (const channel of channels) await cluster.sSubscribe(channel, (message, from) => heard.set(from, message));
      for (const channel of channels) assert.equal(await cluster.sPublish(channel, `to ${channel}`), 1);
      await until(() => heard.size === channels.length);
      assert.deepEqual(heard, new Map(channels.map((channel) => [channel, `to ${channel}`])));
    }),

  // Counts up at the primary that a sentinel names, until that is another one and has taken a write.
  sentinel: async (port) => {
    const client = createSentinel({
      name: "myprimary",
      sentinelRootNodes: [{ host: "127.0.0.1", port }],
      nodeClientOptions: { password: "123456" },
    });
    client.on("error", () => {});
    await client.connect();
    // A command that was on its way when the primary died fails; the next one goes to its successor.
    const tried = (command) => command.catch(() => undefined);
    const first = portOf(await client.info("server"));
    await until(async () => {
      await tried(client.incr("nr:count"));
      const info = await tried(client.info("server"));
      return info !== undefined && portOf(info) !== first;
    });
    await until(async () => (await tried(client.incr("nr:count"))) > 0);
    client.destroy();
  },
};

await run(jobs);
