"""Reads studies and other documents from YAML files, and says in one clear sentence what is wrong with a bad one.

A complaint names the file, the line, what was found, what is allowed and the nearest valid name. Validation is
pydantic's strict mode: text is not a number, 1.5 is not a whole number.
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pydantic import ValidationError

from lesion.errors import InputError
from lesion.identity import Document
from lesion.outside.files import read_bytes
from lesion.study.format.error_location import schema_of
from lesion.study.format.error_messages import complaints, described, slips
from lesion.study.format.shipped import shipped
from lesion.study.format.yaml_reader import MOST_BYTES, read_source, refuse
from lesion.study.study import Study

D = TypeVar("D", bound=Document)


def load_study(path: Path | str) -> Study:
    """Read a study from a YAML file.

    Args:
        path: the file; docs/study-format.md describes it.

    Raises:
        InputError: when the file cannot be read or is not a valid study; the message names file and line.
    """
    return load_document(path, Study)


def load_document(path: Path | str, model: type[D]) -> D:
    """Read a document of any kind from a YAML file.

    Raises:
        InputError: when the file cannot be read or is not a valid document; the message names file and line.
    """
    path = Path(path)
    return parse_document(_read(path), str(path), model)


def runnable_study(path: Path | str) -> Study:
    """Read a study that is to be planned, registered or run.

    Raises:
        InputError: as `load_study`; and for a study of an older format, which is a record.
    """
    study = load_study(path)
    if study.lesion == 1:
        raise InputError(
            f"{path}: this study is written for the first rule; set `lesion: 2` and see docs/study-format.md"
        )
    return study


def parse_document(
    data: bytes | str, name: str, model: type[D], given: Mapping[str, object] = MappingProxyType({})
) -> D:
    """Read a document from YAML text, for instance a study that a manifest carries; `name` stands in messages.

    `given` are keys that hold where the text does not state them: a manifest's study text has the manifest's format.

    Raises:
        InputError: when the text is not a valid document; the message names `name` and the line.
    """
    source = read_source(data.encode(errors="surrogatepass") if isinstance(data, str) else data, name)
    if not isinstance(source.value, dict):
        kind = model.__name__.lower()
        refuse(name, source.line(()), f"a {kind} is a mapping of keys to values, found {described(source.value)}")
    try:
        document = model.model_validate_json(json.dumps({**given, **source.value}), strict=True)
        wrong = slips(source, schema_of(model))
    except ValidationError as error:
        found = error.errors(include_url=False)
        document, wrong = None, complaints(found, source, schema_of(model, meanings=True))
    if document is None or wrong:
        raise InputError("\n".join(f"{name}, line {line}: {text}" for line, text in wrong))
    return document


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, MOST_BYTES)
    except InputError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
    close = get_close_matches(path.name, sorted(p.name for p in path.parent.glob("*.y*ml")), n=1)
    hint = f"; did you mean '{path.with_name(close[0])}'?" if close else "; `lesion init` writes a study"
    if not close and path.stem in shipped():
        hint = f"; 'lesion new {path.stem}' writes a copy of the shipped study"
    raise InputError(f"{path}: there is no such file{hint}")
