from mainstem.kernels.avro_plan import AvroPlan
from mainstem.kernels.columns import BinaryColumn
from mainstem.kernels.payload_columns import Finished

def decode_avro(
    plan: AvroPlan, values: BinaryColumn, skip: int, stop: bool
) -> tuple[list[Finished], list[tuple[int, int, int]]]: ...
