"""What the JSON in a .pt2 may hold, key by key, and what each text in it may say.

PyTorch writes some of these texts into Python code that it runs: names of nodes and inputs, sizes, guards.
Others it looks up: operators, types of nested inputs. So each has a rule here; what has none is refused, or
left out where loading doesn't need it.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable
from typing import Any

from .foreign_operators import is_program_operator
from .formulas import is_size

_NAME = re.compile(r"[A-Za-z_]\w{0,500}", re.ASCII)
# Of parameters and layers: in generated code these are put between quotation marks.
_PATH = re.compile(r"[\w.:/ -]{0,1000}", re.ASCII)
_PRINTABLE = re.compile(r"[ -~]{0,20000}")
_WORD = re.compile(r"[\w+.<=-]{1,40}", re.ASCII)
_NESTS = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
_FLOATS = ("Infinity", "-Infinity", "NaN")
_LARGEST = 2**63


class UnsafeProgramError(ValueError):
    """A program that may run code, or of another format; it says why."""


Rule = Callable[[Any], Any]


def checked_program(document: Any) -> Any:
    """A program as models/model.json has it, with nothing in it but what is known.

    Raises:
        UnsafeProgramError: it has something else.
    """
    return _SCHEMA["ExportedProgram"](document)


def checked_payloads(document: Any) -> Any:
    """The same for the list of the weights or constants, which lie in records of their own.

    Raises:
        UnsafeProgramError: it has something else.
    """
    return _SCHEMA["PayloadConfig"](document)


def _text(pattern: re.Pattern[str], what: str) -> Rule:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise UnsafeProgramError(f"it has {what} that is none ({str(value)!r:.60})")
        return value

    return check


def _name(value: Any) -> str:
    # Unused outputs have none.
    if value == "":
        return ""
    name: str = _text(_NAME, "a name")(value)
    if keyword.iskeyword(name):
        raise UnsafeProgramError(f"it has a name that is none ({name!r})")
    return name


def _size(value: Any) -> str:
    if not isinstance(value, str) or not is_size(value):
        raise UnsafeProgramError(f"it has a size that is no number or formula ({str(value)[:40]!r})")
    return value


def _target(value: Any) -> str:
    if not isinstance(value, str) or not is_program_operator(value):
        raise UnsafeProgramError(
            f"it calls {str(value)[:80]!r}, which is no operator of PyTorch that models have"
        )
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or not -_LARGEST <= value < _LARGEST:
        raise UnsafeProgramError(f"it has a number that is none ({str(value)!r:.40})")
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise UnsafeProgramError(f"it has a truth value that is none ({str(value)!r:.40})")
    return value


def _number(value: Any) -> Any:
    if type(value) in (int, float) or value in _FLOATS:
        return value
    raise UnsafeProgramError(f"it has a number that is none ({str(value)!r:.40})")


def _optional(rule: Rule | str) -> Rule:
    return lambda value: None if value is None else _ruled(rule)(value)


def _list(rule: Rule | str) -> Rule:
    def check(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise UnsafeProgramError(f"it has a list that is none ({str(value)!r:.40})")
        return [_ruled(rule)(item) for item in value]

    return check


def _by(keys: Rule, rule: Rule | str) -> Rule:
    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise UnsafeProgramError(f"it has a table that is none ({str(value)!r:.40})")
        return {keys(key): _ruled(rule)(item) for key, item in value.items()}

    return check


def _always(value: Any) -> Rule:
    """Left out: what loading doesn't need."""
    return lambda _: value


def _refused(what: str) -> Rule:
    def check(value: Any) -> Any:
        if value:
            raise UnsafeProgramError(f"it has {what}")
        return value

    return check


def _ruled(rule: Rule | str) -> Rule:
    return _SCHEMA[rule] if isinstance(rule, str) else rule


def _record(**fields: Rule | str) -> Rule:
    """A table with these keys, some of which may be missing, and no others."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise UnsafeProgramError(f"it has a table that is none ({str(value)!r:.40})")
        unknown = value.keys() - fields.keys()
        if unknown:
            raise UnsafeProgramError(f"it has {sorted(unknown)[0]!r:.40}, which this edgetrain doesn't know")
        return {key: _ruled(fields[key])(item) for key, item in value.items()}

    return check


def _one_of(**fields: Rule | str) -> Rule:
    """A table with one of these keys."""
    record = _record(**fields)

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) != 1:
            raise UnsafeProgramError(f"it has a choice that is none ({str(value)!r:.40})")
        checked: dict[str, Any] = record(value)
        return checked

    return check


def _nesting(keys: Rule) -> Rule:
    """How arguments or results are nested, as JSON in a text."""

    def check(value: Any) -> str:
        try:
            protocol, nest = json.loads(value)
        except (TypeError, ValueError) as error:
            raise UnsafeProgramError("it has nested values of no known kind") from error
        if protocol != 1:
            raise UnsafeProgramError("it has nested values of no known kind")
        return json.dumps([1, rebuilt(nest)])

    def rebuilt(nest: Any) -> dict[str, Any]:
        if not isinstance(nest, dict) or not isinstance(nest.get("children_spec"), list):
            raise UnsafeProgramError("it has nested values of no known kind")
        kind = nest.get("type")
        if kind is not None and kind not in _NESTS:
            raise UnsafeProgramError(
                f"it nests values in a {kind!r:.60}; convert takes tuples, lists and dicts"
            )
        inside = [rebuilt(child) for child in nest["children_spec"]]
        if kind is None:
            if inside or nest.get("context") is not None:
                raise UnsafeProgramError("it has nested values of no known kind")
            context = None
        else:
            context = json.dumps(_context(nest.get("context"), kind, len(inside), keys))
        return {"type": kind, "context": context, "children_spec": inside}

    return check


def _context(context: Any, kind: str, count: int, keys: Rule) -> list[Any] | None:
    """The keys of a dictionary; None for lists and tuples."""
    try:
        said = json.loads(context) if isinstance(context, str) else context
    except ValueError as error:
        raise UnsafeProgramError("it has nested values of no known kind") from error
    if kind in ("builtins.tuple", "builtins.list"):
        if said is not None:
            raise UnsafeProgramError("it has nested values of no known kind")
        return None
    if not isinstance(said, list) or len(said) != count:
        raise UnsafeProgramError("it has nested values of no known kind")
    return [_integer(key) if type(key) is int else keys(key) for key in said]


_path = _text(_PATH, "a path")
_string = _text(_PRINTABLE, "a text")
_word = _text(_WORD, "a word")

_SCHEMA: dict[str, Rule] = {
    "Device": _record(type=_text(re.compile("[a-z]{1,20}"), "a device"), index=_optional(_integer)),
    "SymExprHint": _one_of(as_int=_integer, as_bool=_boolean, as_float=_number),
    "SymExpr": _record(expr_str=_size, hint=_optional("SymExprHint")),
    "SymInt": _one_of(as_expr="SymExpr", as_int=_integer),
    "SymFloat": _one_of(as_expr="SymExpr", as_float=_number),
    "SymBool": _one_of(as_expr="SymExpr", as_bool=_boolean),
    "TensorMeta": _record(
        dtype=_integer, sizes=_list("SymInt"), requires_grad=_boolean, device="Device",
        strides=_list("SymInt"), storage_offset="SymInt", layout=_integer,
    ),
    "SymIntArgument": _one_of(as_name=_name, as_int=_integer),
    "SymFloatArgument": _one_of(as_name=_name, as_float=_number),
    "SymBoolArgument": _one_of(as_name=_name, as_bool=_boolean),
    "TensorArgument": _record(name=_name),
    "OptionalTensorArgument": _one_of(as_tensor="TensorArgument", as_none=_boolean),
    "GraphArgument": _record(name=_name, graph="Graph"),
    "ComplexValue": _record(real=_number, imag=_number),
    "Argument": _one_of(
        as_none=_boolean, as_tensor="TensorArgument", as_tensors=_list("TensorArgument"), as_int=_integer,
        as_ints=_list(_integer), as_float=_number, as_floats=_list(_number), as_string=_string,
        as_strings=_list(_string), as_sym_int="SymIntArgument", as_sym_ints=_list("SymIntArgument"),
        as_scalar_type=_integer, as_memory_format=_integer, as_layout=_integer, as_device="Device",
        as_bool=_boolean, as_bools=_list(_boolean), as_sym_bool="SymBoolArgument",
        as_sym_bools=_list("SymBoolArgument"), as_graph="GraphArgument",
        as_optional_tensors=_list("OptionalTensorArgument"),
        as_custom_obj=_refused("an object of a class of its own"), as_operator=_target,
        as_sym_float="SymFloatArgument", as_sym_floats=_list("SymFloatArgument"),
        as_optional_tensor="OptionalTensorArgument", as_complex="ComplexValue",
        as_nested_tensors=_list(_list("TensorArgument")), as_int_lists=_list(_list(_integer)),
        as_string_to_argument=_by(_name, "Argument"), as_float_lists=_list(_list(_number)),
    ),
    "NamedArgument": _record(name=_name, arg="Argument", kind=_optional(_integer)),
    "Node": _record(
        target=_target, inputs=_list("NamedArgument"), outputs=_list("Argument"),
        metadata=lambda value: _metadata(value), is_hop_single_tensor_return=_optional(_boolean),
        name=_optional(_name),
    ),
    "Graph": _record(
        inputs=_list("Argument"), outputs=_list("Argument"), nodes=_list("Node"),
        tensor_values=_by(_name, "TensorMeta"), sym_int_values=_by(_name, "SymInt"),
        sym_bool_values=_by(_name, "SymBool"), is_single_tensor_return=_boolean,
        custom_obj_values=_refused("an object of a class of its own"),
        sym_float_values=_by(_name, "SymFloat"),
    ),
    "UserSpec": _record(arg="Argument"),
    "ConstantValue": _one_of(
        as_none=_boolean, as_int=_integer, as_float=_number, as_string=_string, as_bool=_boolean
    ),
    "ConstantInput": _record(name=_name, value="ConstantValue"),
    "OfParameter": _record(arg="TensorArgument", parameter_name=_path),
    "OfBuffer": _record(arg="TensorArgument", buffer_name=_path, persistent=_boolean),
    "OfConstant": _record(arg="TensorArgument", tensor_constant_name=_path),
    "OfUserInput": _record(arg="TensorArgument", user_input_name=_name),
    "InputSpec": _one_of(
        user_input="UserSpec", parameter="OfParameter", buffer="OfBuffer", tensor_constant="OfConstant",
        custom_obj=_refused("an object of a class of its own"), token=_refused("a token"),
        constant_input="ConstantInput",
    ),
    "OutputSpec": _one_of(
        user_output="UserSpec", loss_output=_record(arg="TensorArgument"), buffer_mutation="OfBuffer",
        gradient_to_parameter="OfParameter", gradient_to_user_input="OfUserInput",
        user_input_mutation="OfUserInput", token=_refused("a token"), parameter_mutation="OfParameter",
    ),
    "GraphSignature": _record(input_specs=_list("InputSpec"), output_specs=_list("OutputSpec")),
    "RangeConstraint": _record(min_val=_optional(_integer), max_val=_optional(_integer)),
    "ModuleCallSignature": _record(
        inputs=_list("Argument"), outputs=_list("Argument"), in_spec=_nesting(_name),
        out_spec=_nesting(_path), forward_arg_names=_optional(_list(_name)),
    ),
    "ModuleCallEntry": _record(fqn=_path, signature=_optional("ModuleCallSignature")),
    "GraphModule": _record(
        graph="Graph", signature="GraphSignature", module_call_graph=_list("ModuleCallEntry"),
        metadata=_always({}), treespec_namedtuple_fields=_always({}),
    ),
    "SchemaVersion": _record(major=_integer, minor=_integer),
    "ExportedProgram": _record(
        graph_module="GraphModule", opset_version=_by(_name, _integer),
        range_constraints=_by(_size, "RangeConstraint"), schema_version="SchemaVersion",
        verifiers=_list(_word), torch_version=_word, guards_code=_always([]),
    ),
    "PayloadMeta": _record(
        path_name=_word, is_param=_boolean, use_pickle=_refused("pickled tensors"), tensor_meta="TensorMeta"
    ),
    "PayloadConfig": _record(config=_by(_path, "PayloadMeta")),
}  # fmt: skip


def _metadata(value: Any) -> dict[str, str]:
    """Which modules a call comes from; what else is noted of it, PyTorch would look up."""
    if not isinstance(value, dict):
        raise UnsafeProgramError("it has notes that are none")
    kept = {key: value[key] for key in ("nn_module_stack", "torch_fn") if key in value}
    return {key: _string(text) for key, text in kept.items()}
