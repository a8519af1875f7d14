from mainstem.kernels.avro_plan import AvroPlan
from mainstem.kernels.columns import Memory
from mainstem.kernels.payload_columns import Sources

def encode_avro(
    plan: AvroPlan, sources: Sources, rows: int, prefix: bytes
) -> tuple[Memory, Memory]: ...
