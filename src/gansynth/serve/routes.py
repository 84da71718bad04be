"""A route of the HTTP interface, said once: what it takes, checked before its function is called,
and its description in OpenAPI 3.1.

    @operation("POST", "/api/instruments/near", LATENTS,
               body={"latent": LatentField(), "distance": Number(0, 1)})
    async def near(self, request, latent, distance):
        '''Sounds like another one.'''

Starlette's own schema generator reads YAML from docstrings and checks nothing, so limits would
stand twice. FastAPI fixes its limits at import, and these depend on the model (`Shape`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gansynth import __version__
from gansynth.serve.bodies import Bodies, check_json
from gansynth.serve.fields import Field, LatentField, PitchField, Schema, Several, Shape, Text

# Bytes of JSON bodies: a few latents.
SMALL_BODY = 256 << 10
# What stands in addresses, in braces.
_IN_PATH: dict[str, Field] = {
    "latent": LatentField(),
    "pitch": PitchField(),
    "key": Text(pattern="^[A-Za-z0-9_-]{16}$"),
}
_REFUSALS = {
    "400": "A value breaks its rule.",
    "401": "The server's token is missing.",
    "403": "Only the server's own page may ask.",
    "404": "There is nothing here.",
    "405": "The method can't be used here.",
    "408": "The body came too slowly.",
    "413": "The body is too large.",
    "415": "The body is of another type.",
    "429": "One client asks for too much at once.",
    "503": "Too many requests at once; try again later.",
}

Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True)
class Upload:
    """A body that is a file.

    Attributes
    ----------
    media : str
    limit : int
        Bytes.
    schema : dict
    """

    media: str
    limit: int
    schema: Schema


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes
    ----------
    method, path, summary : str
    answer : function
        From the shape of the model to the description of what 200 answers.
    query : dict of str to Field
        May be missing in a request, unless named in `required`; the function is given None then.
    required : tuple of str
    repeated : tuple of str
        Those of the query that may stand there several times: the function is given a list.
    body : dict of str to Field, or None
        All that a JSON object holds, no more and no less.
    upload : Upload or None
        Instead of that, a file, given to the function as `body`, a `bodies.Body`.
    """

    method: str
    path: str
    summary: str
    answer: Callable[[Shape], Schema]
    query: Mapping[str, Field] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    body: Mapping[str, Field] | None = None
    upload: Upload | None = None

    @property
    def path_fields(self) -> dict[str, Field]:
        """What stands in the path."""
        return {name: one for name, one in _IN_PATH.items() if f"{{{name}}}" in self.path}

    def route(self, handler: Handler, shape: Shape, bodies: Bodies) -> Route:
        """The route that checks a request and calls `handler(request, **values)`."""

        async def endpoint(request: Request) -> Response:
            values = self._values(request, shape)
            if self.body is not None:
                record = await bodies.read_object(request, SMALL_BODY, *self.body)
                fields = self.body.items()
                values |= {name: one.read(record[name], name, shape) for name, one in fields}
            elif self.upload is not None:
                if self.upload.media == "application/json":
                    check_json(request)
                async with bodies.receive(request, self.upload.limit) as body:
                    return await handler(request, **values, body=body)
            return await handler(request, **values)

        return Route(self.path, endpoint, methods=[self.method])

    def _values(self, request: Request, shape: Shape) -> dict[str, Any]:
        """What stands in the address, checked."""
        values = {}
        for name, one in self.path_fields.items():
            values[name] = one.read(one.parse(request.path_params[name]), name, shape)
        for name, one in self.query.items():
            if name in self.repeated:
                values[name] = one.read(request.query_params.getlist(name), name, shape)
                continue
            text = request.query_params.get(name)
            values[name] = None if text is None else one.read(one.parse(text), name, shape)
        return values

    def describe(self, shape: Shape) -> Schema:
        """The operation as OpenAPI has it."""
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": one.schema(shape)}
            for name, one in self.path_fields.items()
        ]
        for name, one in self.query.items():
            parameter = {"name": name, "in": "query", "required": name in self.required}
            if isinstance(one, Several):
                parameter["explode"] = name in self.repeated
            parameters.append({**parameter, "schema": one.schema(shape)})
        error = json_answer(object_schema(error={"type": "string"}))
        answers = {code: {**error, "description": words} for code, words in _REFUSALS.items()}
        described: Schema = {
            "summary": self.summary,
            "parameters": parameters,
            "responses": {"200": self.answer(shape), **answers},
        }
        content = None
        if self.body is not None:
            fields = {name: one.schema(shape) for name, one in self.body.items()}
            content = {"application/json": {"schema": object_schema(**fields)}}
        elif self.upload is not None:
            content = {self.upload.media: {"schema": self.upload.schema}}
        if content is not None:
            described["requestBody"] = {"required": True, "content": content}
        return described


def operation(
    method: str, path: str, answer: Schema | Callable[[Shape], Schema], **takes: Any
) -> Callable[[Handler], Handler]:
    """Decorate a method that answers requests; its docstring is the summary. See `Operation`."""
    described = answer if callable(answer) else lambda shape: answer

    def mark(handler: Handler) -> Handler:
        summary = " ".join((handler.__doc__ or "").split())
        handler.operation = Operation(  # type: ignore[attr-defined]
            method, path, summary, described, **takes
        )
        return handler

    return mark


def operations(kind: type) -> dict[str, Operation]:
    """Those that the methods of a class are decorated with, by the method's name."""
    found = {name: getattr(one, "operation", None) for name, one in vars(kind).items()}
    return {name: one for name, one in found.items() if one is not None}


def make_schema(kind: type, shape: Shape) -> Schema:
    """The OpenAPI description of a class's operations, for a model of that shape."""
    paths: dict[str, Schema] = {}
    for one in operations(kind).values():
        paths.setdefault(one.path, {})[one.method.lower()] = one.describe(shape)
    info = {"title": "gansynth serve", "version": __version__}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def object_schema(**properties: Schema) -> Schema:
    """Schema of an object that has all these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def json_answer(schema: Schema) -> Schema:
    """An answer in JSON."""
    return {"description": "Found.", "content": {"application/json": {"schema": schema}}}


def file_answer(media: str) -> Schema:
    """An answer that is a file."""
    return {"description": "A file.", "content": {media: {"schema": {"type": "string"}}}}
