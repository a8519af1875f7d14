from mainstem.kernels.columns import Memory
from mainstem.kernels.payload_columns import Sources
from mainstem.kernels.protobuf_plan import ProtobufPlan

def encode_protobuf(
    plan: ProtobufPlan, sources: Sources, rows: int, prefix: bytes
) -> tuple[Memory, Memory]: ...
