"""Types shared by the package: arrays, and numbers by their range."""

from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.int64]
TimeArray: TypeAlias = npt.NDArray[np.datetime64]

#: A numpy array or a torch tensor: code typed with it runs on both (array-API style).
Array: TypeAlias = Any

# Numbers by their range, which signatures and configurations are checked by
# (:mod:`equiload.envs.checking`).
Count: TypeAlias = Annotated[int, Field(ge=1)]
Number: TypeAlias = Annotated[int, Field(ge=0)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Size: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]

#: How an observation lies: one array, or one per block by name.
Form: TypeAlias = Literal["flat", "dict"]
