from mainstem.kernels.columns import BinaryColumn
from mainstem.kernels.json_plan import JsonPlan
from mainstem.kernels.payload_columns import Finished

def decode_json(
    plan: JsonPlan, values: BinaryColumn, options: int, stop: bool
) -> tuple[list[Finished], list[tuple[int, int, int, int]]]: ...
