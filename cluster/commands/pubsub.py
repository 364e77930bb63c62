"""Pub/sub: SUBSCRIBE and its kin, PUBLISH, SPUBLISH, PUBSUB."""

from __future__ import annotations

from cluster.commands.context import Context
from cluster.commands.keys import KeySpec
from cluster.commands.registry import FAST, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, STALE, command, container
from cluster.errors import CommandError, wrong_subcommand
from cluster.keyspace.glob import Glob
from cluster.protocol import replies
from cluster.pubsub import Names

_LISTENING = {PUBSUB, NOSCRIPT, LOADING, STALE}
_PUBLISHING = {PUBSUB, LOADING, STALE, FAST, MAY_REPLICATE}
_ASKING = {PUBSUB, LOADING, STALE}
_NOT_A_KEY = ("not_key",)
_SHARD_CHANNELS = (KeySpec(1, -1, 1, _NOT_A_KEY),)
_SHARD_CHANNEL = (KeySpec(1, 1, 1, _NOT_A_KEY),)

PUBSUB_ = container("PUBSUB", group="pubsub", since="2.8.0", summary="Holds the commands that tell of subscriptions.")


def _told(ctx: Context, pushes: bytes) -> bytes:
    """Subscriptions are answered by pushes, which CLIENT REPLY does not keep back."""
    if ctx.client.reply_mode == "on":
        return pushes
    ctx.client.out.append(pushes)
    return b""


def _subscribe(ctx: Context, names: Names, wanted: tuple[bytes, ...]) -> bytes:
    return _told(ctx, ctx.server.pubsub.subscribe(ctx.client, names, wanted))


def _unsubscribe(ctx: Context, names: Names, unwanted: tuple[bytes, ...]) -> bytes:
    return _told(ctx, ctx.server.pubsub.unsubscribe(ctx.client, names, unwanted))


@command("SUBSCRIBE", arity=-2, flags=_LISTENING, group="pubsub", since="2.0.0", summary="Listens to channels.",
         complexity="O(N) in the number of channels", syntax="channel...")
def subscribe(ctx: Context, *channels: bytes) -> bytes:
    return _subscribe(ctx, ctx.server.pubsub.channels, channels)


@command("UNSUBSCRIBE", arity=-1, flags=_LISTENING, group="pubsub", since="2.0.0",
         summary="Stops listening to channels, the given ones or all.", complexity="O(N) in the number of channels",
         syntax="[channel...]")
def unsubscribe(ctx: Context, *channels: bytes) -> bytes:
    return _unsubscribe(ctx, ctx.server.pubsub.channels, channels)


@command("PSUBSCRIBE", arity=-2, flags=_LISTENING, group="pubsub", since="2.0.0",
         summary="Listens to all channels that fit patterns.", complexity="O(N) in the number of patterns",
         syntax="pattern:pattern...")
def psubscribe(ctx: Context, *patterns: bytes) -> bytes:
    return _subscribe(ctx, ctx.server.pubsub.patterns, patterns)


@command("PUNSUBSCRIBE", arity=-1, flags=_LISTENING, group="pubsub", since="2.0.0",
         summary="Stops listening to patterns, the given ones or all.",
         complexity="O(N+M), where N is the number of the client's patterns and M that of all",
         syntax="[pattern:pattern...]")
def punsubscribe(ctx: Context, *patterns: bytes) -> bytes:
    return _unsubscribe(ctx, ctx.server.pubsub.patterns, patterns)


@command("SSUBSCRIBE", arity=-2, flags=_LISTENING, keys=_SHARD_CHANNELS, group="pubsub", since="7.0.0",
         summary="Listens to shard channels, which live in a slot.", complexity="O(N) in the number of channels",
         syntax="shardchannel...")
def ssubscribe(ctx: Context, *channels: bytes) -> bytes:
    if not ctx.allows_blocking:
        raise CommandError("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    return _subscribe(ctx, ctx.server.pubsub.shard_channels, channels)


@command("SUNSUBSCRIBE", arity=-1, flags=_LISTENING, keys=_SHARD_CHANNELS, group="pubsub", since="7.0.0",
         summary="Stops listening to shard channels, the given ones or all.",
         complexity="O(N) in the number of channels", syntax="[shardchannel...]")
def sunsubscribe(ctx: Context, *channels: bytes) -> bytes:
    return _unsubscribe(ctx, ctx.server.pubsub.shard_channels, channels)


@command("PUBLISH", arity=3, flags=_PUBLISHING, group="pubsub", since="2.0.0", summary="Sends a message to a channel.",
         complexity="O(N+M), where N is the number of the channel's subscribers and M that of all patterns",
         syntax="channel message")
def publish(ctx: Context, channel: bytes, message: bytes) -> bytes:
    server = ctx.server
    if not server.cluster_enabled:  # there the bus carries it
        server.journal.tell(ctx.db.index, [b"PUBLISH", channel, message])
    return replies.integer(server.pubsub.publish(channel, message))


@command("SPUBLISH", arity=3, flags=_PUBLISHING, keys=_SHARD_CHANNEL, group="pubsub", since="7.0.0",
         summary="Sends a message to a shard channel.", complexity="O(N) in the number of the channel's subscribers",
         syntax="shardchannel message")
def spublish(ctx: Context, channel: bytes, message: bytes) -> bytes:
    server = ctx.server
    if not server.cluster_enabled:
        server.journal.tell(ctx.db.index, [b"SPUBLISH", channel, message])
    return replies.integer(server.pubsub.publish(channel, message, sharded=True))


# -- PUBSUB ------------------------------------------------------------------------------------------------------


def _active(names: Names, patterns: tuple[bytes, ...]) -> bytes:
    if len(patterns) > 1:
        raise wrong_subcommand("pubsub")
    if not patterns:
        return replies.bulk_array(names.listeners)
    glob = Glob(patterns[0])
    return replies.bulk_array([name for name in names.listeners if glob.matches(name)])


def _counted(names: Names, channels: tuple[bytes, ...]) -> bytes:
    counted = []
    for channel in channels:
        counted += [replies.bulk(channel), replies.integer(len(names.listeners.get(channel, ())))]
    return replies.array(counted)


@command("PUBSUB CHANNELS", arity=-2, flags=_ASKING, group="pubsub", since="2.8.0",
         summary="Names the channels that are listened to.", complexity="O(N) in the number of channels",
         syntax="[pattern:pattern]")
def pubsub_channels(ctx: Context, *pattern: bytes) -> bytes:
    return _active(ctx.server.pubsub.channels, pattern)


@command("PUBSUB NUMSUB", arity=-2, flags=_ASKING, group="pubsub", since="2.8.0",
         summary="Counts who listens to channels.", complexity="O(N) in the number of channels", syntax="[channel...]")
def pubsub_numsub(ctx: Context, *channels: bytes) -> bytes:
    return _counted(ctx.server.pubsub.channels, channels)


@command("PUBSUB NUMPAT", arity=2, flags=_ASKING, group="pubsub", since="2.8.0",
         summary="Counts the patterns that are listened to.")
def pubsub_numpat(ctx: Context) -> bytes:
    return replies.integer(len(ctx.server.pubsub.patterns.listeners))


@command("PUBSUB SHARDCHANNELS", arity=-2, flags=_ASKING, group="pubsub", since="7.0.0",
         summary="Names the shard channels that are listened to.", complexity="O(N) in the number of channels",
         syntax="[pattern:pattern]")
def pubsub_shardchannels(ctx: Context, *pattern: bytes) -> bytes:
    return _active(ctx.server.pubsub.shard_channels, pattern)


@command("PUBSUB SHARDNUMSUB", arity=-2, flags=_ASKING, group="pubsub", since="7.0.0",
         summary="Counts who listens to shard channels.", complexity="O(N) in the number of channels",
         syntax="[shardchannel...]")
def pubsub_shardnumsub(ctx: Context, *channels: bytes) -> bytes:
    return _counted(ctx.server.pubsub.shard_channels, channels)


@command("PUBSUB HELP", arity=2, flags={LOADING, STALE}, group="pubsub", since="6.2.0",
         summary="Lists the subcommands.")
def pubsub_help(_ctx: Context) -> bytes:
    return replies.help_text("PUBSUB", [
        ("CHANNELS [<pattern>]", "The channels listened to, all or those that fit."),
        ("NUMPAT", "How many patterns are listened to."),
        ("NUMSUB [<channel> ...]", "How many listen to each channel; patterns do not count."),
        ("SHARDCHANNELS [<pattern>]", "The shard channels listened to, all or those that fit."),
        ("SHARDNUMSUB [<shardchannel> ...]", "How many listen to each shard channel."),
    ])
