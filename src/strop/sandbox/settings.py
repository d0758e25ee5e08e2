"""How much one run of an untrusted program may use."""

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """The defaults suit small contest programs. There is no disk limit because the program may not write any file."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    cpu_seconds: int = Field(3, ge=1, description="CPU time of each process, in seconds.")
    wall_seconds: float = Field(10.0, gt=0, description="Time from start to end as a clock sees it, in seconds.")
    memory_mb: int = Field(512, ge=64, description="Address space of each process, in MiB (about 20 go to Python).")
    processes: int = Field(1, ge=1, le=64, description="Processes alive at once, the program's own included.")
    output_bytes: int = Field(1_000_000, ge=1, description="Bytes that each of stdout and stderr may hold.")
