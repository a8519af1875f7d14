from mainstem.kernels.columns import BinaryColumn
from mainstem.kernels.payload_columns import Finished
from mainstem.kernels.protobuf_plan import ProtobufPlan

def decode_protobuf(
    plan: ProtobufPlan, values: BinaryColumn, skip: int, stop: bool
) -> tuple[list[Finished], list[tuple[int, int, int]]]: ...
