//! Selection by index, sorting.

use super::{Any, New, input, pair};
use crate::convert::int;
use crate::tensor::wrap;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tengen::ops;

type Pair<'py> = PyResult<Bound<'py, PyTuple>>;

/// Elements picked along axis: result[i][j][k] = inp[i][index[i][j][k]][k] for axis 1 of 3.
///
/// index (integers) has as many dimensions as inp and, except along axis, at most its extents (else
/// ShapeError); the result has the shape of index. Raises AxisError for an index out of range.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.gather(mge.tensor([[1.0, 2.0], [3.0, 4.0]]), 1, mge.tensor([[0, 0], [1, 0]]))
/// Tensor([[1. 1.]
///  [4. 3.]], device=xpux:0)
#[pyfunction]
fn gather(py: Python<'_>, inp: Any, axis: isize, index: Any) -> New {
    wrap(py, ops::gather(&input(inp)?, axis, &input(index)?))
}

/// inp with elements replaced along axis: result[i][index[i][j][k]][k] = source[i][j][k] for axis 1
/// of 3; of equal indices the last wins. inp itself stays as it is.
///
/// index and source have the same shape; otherwise as gather.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.scatter(F.zeros(3), 0, mge.tensor([2, 0]), mge.tensor([5.0, 6.0]))
/// Tensor([6. 0. 5.], device=xpux:0)
#[pyfunction]
fn scatter(py: Python<'_>, inp: Any, axis: isize, index: Any, source: Any) -> New {
    wrap(py, ops::scatter(&input(inp)?, axis, &input(index)?, &input(source)?))
}

/// Slices of inp along axis at the places that an integer tensor gives, with as many axes in place
/// of one as that has.
#[pyfunction]
#[pyo3(signature = (inp, index, axis=0))]
fn _take(py: Python<'_>, inp: Any, index: Any, axis: isize) -> New {
    wrap(py, ops::take(&input(inp)?, axis, &input(index)?))
}

/// The elements of x where mask (bool, of the same shape) is true, and their positions in the
/// flattened tensor (int32).
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> x = mge.tensor([1.0, 2.0, 3.0])
/// >>> F.cond_take(x > 1, x)
/// (Tensor([2. 3.], device=xpux:0), Tensor([1 2], dtype=int32, device=xpux:0))
#[pyfunction]
fn cond_take<'py>(mask: Any<'_, 'py>, x: Any<'_, 'py>) -> Pair<'py> {
    pair(mask.py(), ops::cond_take(&input(mask)?, &input(x)?))
}

/// A new last axis of extent num_classes that is 1 at the index and 0 elsewhere; int32. Raises
/// AxisError for an index not in 0..num_classes.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.one_hot(mge.tensor([2, 0]), 3)
/// Tensor([[0 0 1]
///  [1 0 0]], dtype=int32, device=xpux:0)
#[pyfunction]
fn one_hot(py: Python<'_>, inp: Any, num_classes: Any) -> New {
    let n = usize::try_from(int(num_classes)?)
        .map_err(|_| PyValueError::new_err("one_hot: num_classes must not be negative"))?;
    wrap(py, ops::one_hot(&input(inp)?, n))
}

/// One element of every line of src along axis: result[i][k] = src[i][index[i][k]][k] for axis 1 of
/// 3. index has the shape of src without that axis (else ShapeError); with keepdims the axis stays
/// with extent 1. Raises AxisError for an index out of range; none counts from the end.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.indexing_one_hot(mge.tensor([[1.0, 2.0], [3.0, 4.0]]), mge.tensor([1, 0]))
/// Tensor([2. 3.], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (src, index, axis=1, keepdims=false))]
fn indexing_one_hot(py: Python<'_>, src: Any, index: Any, axis: isize, keepdims: bool) -> New {
    wrap(py, ops::indexing_one_hot(&input(src)?, &input(index)?, axis, keepdims))
}

/// The elements in rising (or falling) order along the last axis, and their positions (int32). NaN
/// counts as greatest.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.sort(mge.tensor([3.0, 1.0, 2.0]))
/// (Tensor([1. 2. 3.], device=xpux:0), Tensor([1 2 0], dtype=int32, device=xpux:0))
#[pyfunction]
#[pyo3(signature = (inp, descending=false))]
fn sort<'py>(inp: Any<'_, 'py>, descending: bool) -> Pair<'py> {
    pair(inp.py(), ops::sort(&input(inp)?, -1, descending))
}

/// The positions (int32) that put inp in rising (or falling) order along the last axis. Equal
/// elements come in the order of their positions, in falling order in the reverse of it.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.argsort(mge.tensor([3.0, 1.0, 2.0]))
/// Tensor([1 2 0], dtype=int32, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, descending=false))]
fn argsort(py: Python<'_>, inp: Any, descending: bool) -> New {
    wrap(py, ops::argsort(&input(inp)?, -1, descending))
}

/// The k greatest (or, unless descending, least) elements along the last axis and their positions
/// (int32), in order unless no_sort; all of them if there are fewer. A negative k turns the order
/// around. With kth_only, just the k-th of them, and the axis is dropped. Raises ValueError for
/// k = 0.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.topk(mge.tensor([3.0, 1.0, 2.0]), 2)
/// (Tensor([3. 2.], device=xpux:0), Tensor([0 2], dtype=int32, device=xpux:0))
#[pyfunction]
#[pyo3(signature = (inp, k, descending=true, kth_only=false, no_sort=false))]
fn topk<'py>(
    inp: Any<'_, 'py>,
    k: Any<'_, 'py>,
    descending: bool,
    kth_only: bool,
    no_sort: bool,
) -> Pair<'py> {
    let (x, k) = (input(inp)?, int(k)?);
    let (k, descending) = (k.unsigned_abs(), descending != (k < 0));
    if kth_only {
        return pair(inp.py(), ops::kth(&x, k, descending));
    }
    pair(inp.py(), ops::topk(&x, k, descending, !no_sort))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(gather, m)?)?;
    m.add_function(wrap_pyfunction!(scatter, m)?)?;
    m.add_function(wrap_pyfunction!(_take, m)?)?;
    m.add_function(wrap_pyfunction!(cond_take, m)?)?;
    m.add_function(wrap_pyfunction!(one_hot, m)?)?;
    m.add_function(wrap_pyfunction!(indexing_one_hot, m)?)?;
    m.add_function(wrap_pyfunction!(sort, m)?)?;
    m.add_function(wrap_pyfunction!(argsort, m)?)?;
    m.add_function(wrap_pyfunction!(topk, m)?)
}
