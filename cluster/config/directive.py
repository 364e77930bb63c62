"""What the table says about one directive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.config.values import Kind

WORKS = "works"
ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Directive:
    """`default` is the text a file would have. `about` says in a few words what it does, or why nothing.

    - effect: WORKS, or ACCEPTED: known, checked and shown, but without a meaning in this node.
    - immutable: CONFIG SET refuses. protected: it does so unless enable-protected-configs lets it.
    - hidden: CONFIG GET finds it by its exact name only. unlisted: CONFIG does not know it at all (lines of a file
      that do something, such as rename-command).
    - volatile: it names a file, whose content may be another: CONFIG SET is followed where the name stays the same.
    - adds_up: 'loading' where repeated lines of a file add to each other, 'always' where CONFIG SET changes a part.
    """

    name: str
    kind: Kind
    default: str
    about: str
    alias: str = ""
    effect: str = WORKS
    immutable: bool = False
    protected: bool = False
    hidden: bool = False
    unlisted: bool = False
    volatile: bool = False
    adds_up: str = ""

    @property
    def attribute(self) -> str:
        """The name of the value as an attribute of the configuration."""
        return self.name.replace("-", "_")

    @property
    def has_effect(self) -> bool:
        return self.effect == WORKS

    def initial(self) -> object:
        """The value a configuration starts with."""
        words = self.default.split(" ") if self.kind.several_words else [self.default]
        return self.kind.parse(words, None)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, self.alias) if self.alias else (self.name,)


@dataclass(frozen=True, slots=True)
class Section:
    """A group of directives under one title, for the documentation."""

    title: str
    directives: Sequence[Directive]
