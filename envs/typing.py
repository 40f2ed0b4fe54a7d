"""Array types shared by the package."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.int64]
TimeArray: TypeAlias = npt.NDArray[np.datetime64]

#: A numpy array or a torch tensor: code typed with it runs on both (array-API style).
Array: TypeAlias = Any
