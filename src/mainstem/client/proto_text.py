""".proto files (proto2 and proto3) as descriptors, as a schema registry hands them out.

Protocol Buffers' Python package reads compiled descriptors only. Names of types are left for its
pool to resolve. Services, extensions and custom options are read over: records do not need them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mainstem.errors import Invalid

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

_TOKEN = re.compile(
    r"""\s+ | //[^\n]* | /\*.*?\*/
    | (?P<text>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
    | (?P<word>\.?[A-Za-z_][\w.]* | [-+]?[\d.][\w.+-]*)
    | (?P<mark>[{}\[\]()<>=;,:-])""",
    re.VERBOSE | re.DOTALL,
)
_SCALARS: Final = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "fixed64": 6, "fixed32": 7,
    "bool": 8, "string": 9, "bytes": 12, "uint32": 13, "sfixed32": 15, "sfixed64": 16,
    "sint32": 17, "sint64": 18,
}  # fmt: skip
_LABELS: Final = {"optional": 1, "required": 2, "repeated": 3}
_DEEPEST: Final = 64


def parse_proto(text: str, name: str) -> FileDescriptorProto:
    """The descriptor of a file's text. Raises ``Invalid`` with the line of what is wrong."""
    return _Parser(text, name).file()


class _Parser:
    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._tokens: list[tuple[str, int]] = []
        self._at = 0
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                line = text.count("\n", 0, position) + 1
                raise Invalid(
                    f"{name} line {line}: {text[position : position + 20]!r} is not .proto"
                )
            if match.lastgroup is not None:
                self._tokens.append((match[0], position))
            position = match.end()
        self._text = text

    # --- tokens ------------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        found = self._peek()
        if not found:
            raise self._wrong("the file ends too early")
        self._at += 1
        return found

    def _accept(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._at += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise self._wrong(f"{token!r} should come before {self._peek()!r}")

    def _word(self) -> str:
        found = self._next()
        if not re.match(r"\.?[A-Za-z_]", found):
            raise self._wrong(f"a name should stand where {found!r} is")
        return found

    def _whole(self) -> int:
        found = self._next()
        if found == "-":
            return -self._whole()
        try:
            return int(found, 8) if re.fullmatch(r"-?0[0-7]+", found) else int(found, 0)
        except ValueError:
            raise self._wrong(f"a number should stand where {found!r} is") from None

    def _string(self) -> str:
        found = self._next()
        if found[0] not in "\"'":
            raise self._wrong(f"a text in quotes should stand where {found!r} is")
        return found[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")

    def _wrong(self, reason: str) -> Invalid:
        at = min(self._at, len(self._tokens)) - 1
        position = self._tokens[at][1] if self._tokens else 0
        return Invalid(f"{self._name} line {self._text.count(chr(10), 0, position) + 1}: {reason}")

    def _skip_statement(self) -> None:
        """To behind the ``;``, or the block, that ends it."""
        depth = 0
        while True:
            token = self._next()
            if token in "{[(":
                depth += 1
            elif token in "}])":
                depth -= 1
                if depth == 0 and token == "}":
                    self._accept(";")
                    return
            elif token == ";" and depth == 0:
                return

    # --- files -------------------------------------------------------------------------------

    def file(self) -> FileDescriptorProto:
        from google.protobuf.descriptor_pb2 import FileDescriptorProto

        found = FileDescriptorProto(name=self._name, syntax="proto2")
        while self._peek():
            self._statement(found, self._next())
        if found.syntax == "proto2":
            found.ClearField("syntax")
        return found

    def _statement(self, found: FileDescriptorProto, word: str) -> None:
        if word == "message":
            self._message(found.message_type.add(), found.syntax, 0)
        elif word == "enum":
            self._enum(found.enum_type.add())
        elif word in {"option", "extend", "service"}:
            self._skip_statement()
        elif word == "edition":
            raise self._wrong("editions are not read from text: give message=, a class")
        elif word in {"syntax", "package", "import"}:
            self._head(found, word)
        elif word != ";":
            raise self._wrong(f"{word!r} is not known here")

    def _head(self, found: FileDescriptorProto, word: str) -> None:
        if word == "syntax":
            self._expect("=")
            found.syntax = self._string()
            if found.syntax not in {"proto2", "proto3"}:
                raise self._wrong(f"there is no syntax {found.syntax!r}")
        elif word == "package":
            found.package = self._word()
        else:
            if self._peek() in {"public", "weak"}:
                self._next()
            found.dependency.append(self._string())
        self._expect(";")

    def _message(self, target: Any, syntax: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise self._wrong(f"messages are nested deeper than {_DEEPEST}")
        target.name = self._word()
        self._expect("{")
        loose: list[Any] = []
        while not self._accept("}"):
            word = self._next()
            if word == "message" and self._is_block():
                self._message(target.nested_type.add(), syntax, depth + 1)
            elif word == "enum" and self._is_block():
                self._enum(target.enum_type.add())
            elif word == "oneof":
                self._oneof(target)
            elif word in {"option", "extensions", "reserved", "extend"} and self._peek() != "=":
                self._skip_statement()
            elif word != ";":
                field = self._field(target, word)
                if field is not None:
                    loose.append(field)
        for field in loose:  # proto3's `optional` is a oneof of its own, behind the others
            if syntax == "proto3":
                field.proto3_optional = True
                field.oneof_index = len(target.oneof_decl)
                target.oneof_decl.add(name=f"_{field.name}")

    def _is_block(self) -> bool:
        """Whether a name and ``{`` follow: `message` and `enum` may be names of types, too."""
        ahead = self._at + 1
        return ahead < len(self._tokens) and self._tokens[ahead][0] == "{"

    def _oneof(self, target: Any) -> None:
        index = len(target.oneof_decl)
        target.oneof_decl.add(name=self._word())
        self._expect("{")
        while not self._accept("}"):
            word = self._next()
            if word == "option":
                self._skip_statement()
            elif word != ";":
                self._field(target, word, oneof=index)

    def _field(self, target: Any, word: str, *, oneof: int | None = None) -> Any:
        """Add a field; it is returned where its label is ``optional``."""
        label = _LABELS.get(word) if self._peek() not in {"=", "<"} else None
        if label is not None:
            word = self._word()
        if word == "group":
            raise self._wrong("groups are not supported: use a message")
        if word == "map" and self._accept("<"):
            self._map(target)
            return None
        field = target.field.add(label=label or 1)
        _set_type(field, word)
        field.name = self._word()
        self._expect("=")
        field.number = self._whole()
        self._options(field)
        if oneof is not None:
            field.oneof_index = oneof
        return field if label == 1 else None

    def _map(self, target: Any) -> None:
        key = self._word()
        self._expect(",")
        value = self._word()
        self._expect(">")
        name = self._word()
        entry = target.nested_type.add(name=_camel(name) + "Entry")
        entry.options.map_entry = True
        for number, (part, kind) in enumerate((("key", key), ("value", value)), 1):
            _set_type(entry.field.add(name=part, number=number, label=1), kind)
        field = target.field.add(name=name, label=3, type=11, type_name=entry.name)
        self._expect("=")
        field.number = self._whole()
        self._options(field)

    def _options(self, field: Any) -> None:
        if self._accept("["):
            while not self._accept("]"):
                name = self._next()
                while self._peek() not in {"=", ""}:
                    name += self._next()
                self._expect("=")
                value = self._value()
                if name == "packed":
                    field.options.packed = value == "true"
                self._accept(",")
        self._expect(";")

    def _value(self) -> str:
        """An option's value, as one word where it is one."""
        found = self._next()
        if found in "{[":
            depth = 1
            while depth:
                token = self._next()
                depth += (token in "{[") - (token in "}]")
        while found[0] in "\"'" and self._peek()[:1] in {'"', "'"}:
            self._next()
        if found == "-":
            found += self._next()
        return found

    def _enum(self, target: Any) -> None:
        target.name = self._word()
        self._expect("{")
        while not self._accept("}"):
            word = self._next()
            if word in {"option", "reserved"} and self._peek() != "=":
                start = self._at
                self._skip_statement()
                names = [token for token, _ in self._tokens[start : self._at]]
                if names[:3] == ["allow_alias", "=", "true"]:
                    target.options.allow_alias = True
            elif word != ";":
                value = target.value.add(name=word)
                self._expect("=")
                value.number = self._whole()
                self._options(value)


def _set_type(field: Any, word: str) -> None:
    if word in _SCALARS:
        field.type = _SCALARS[word]
    else:
        field.type_name = word


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
