//! candle behind a C interface, for the comparison's process to call.
//!
//! Tensors are boxes that the caller frees; a null pointer means an error, whose text
//! [`candle_error`] has. No pointer that the caller gives is null or misaligned, not even where it
//! has no elements.

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{Embedding, GroupNorm, PReLU, loss, ops};
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::ptr::null_mut;

thread_local!(static ERROR: RefCell<CString> = RefCell::default());

/// A tensor for the caller, or null with the error kept.
fn give(result: Result<Tensor>) -> *mut Tensor {
    match result {
        Ok(t) => Box::into_raw(Box::new(t)),
        Err(e) => {
            let text = e.to_string().replace('\0', " ");
            ERROR.with_borrow_mut(|kept| *kept = CString::new(text).unwrap_or_default());
            null_mut()
        }
    }
}

/// The text of this thread's last error, valid until the next one.
#[unsafe(no_mangle)]
pub extern "C" fn candle_error() -> *const c_char {
    ERROR.with_borrow(|kept| kept.as_ptr())
}

/// A tensor of f32 with a copy of the elements at `data`.
///
/// # Safety
/// `shape` points to `ndim` extents, and `data` to as many elements as their product.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn candle_tensor(
    data: *const f32,
    shape: *const usize,
    ndim: usize,
) -> *mut Tensor {
    // SAFETY: the caller vouches for `ndim` extents at `shape` and their product of elements at
    // `data`; both are only read, and not after this call.
    let (data, shape) = unsafe {
        let shape = std::slice::from_raw_parts(shape, ndim);
        (std::slice::from_raw_parts(data, shape.iter().product()), shape)
    };
    give(Tensor::from_slice(data, shape, &Device::Cpu))
}

/// Frees a tensor.
///
/// # Safety
/// `t` came from this library and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn candle_free(t: *mut Tensor) {
    // SAFETY: `give` made it with `Box::into_raw`, and by the contract nobody uses it again.
    drop(unsafe { Box::from_raw(t) });
}

/// The number of dimensions; `shape` gets the extents, of which there are at most eight here.
///
/// # Safety
/// `t` is a tensor of this library that was not freed, and `shape` points to eight extents that
/// nothing else refers to meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn candle_shape(t: *const Tensor, shape: *mut usize) -> usize {
    // SAFETY: `t` is a live box, and `shape` eight extents of the caller's, by the contract.
    let (dims, shape) = unsafe { ((*t).dims(), std::slice::from_raw_parts_mut(shape, 8)) };
    for (to, from) in shape.iter_mut().zip(dims) {
        *to = *from;
    }
    dims.len()
}

/// Copies the elements out in row-major order, as f32; 0 is success.
///
/// # Safety
/// `t` is a tensor of this library that was not freed, and `to` has room for its elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn candle_read(t: *const Tensor, to: *mut f32) -> i32 {
    // SAFETY: `t` is a live box, by the contract.
    let t = unsafe { &*t };
    let read = || t.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>();
    match read() {
        Ok(values) => {
            // SAFETY: `values` are the elements of `t`, for which `to` has room by the contract;
            // they are a vector of this function's, so the two do not overlap.
            unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
            0
        }
        Err(e) => {
            give(Err(e));
            1
        }
    }
}

/// Runs the operator of this name on tensors and integer parameters.
///
/// # Safety
/// `name` points to `length` bytes, `inputs` to `n` tensors of this library that were not freed,
/// and `numbers` to `m` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn candle_run(
    name: *const u8,
    length: usize,
    inputs: *const *const Tensor,
    n: usize,
    numbers: *const usize,
    m: usize,
) -> *mut Tensor {
    // SAFETY: the caller vouches for the lengths of all three and for the tensors; they are only
    // read, and not after this call.
    let (name, inputs, numbers) = unsafe {
        let inputs = std::slice::from_raw_parts(inputs, n).iter().map(|t| &**t);
        (
            std::str::from_utf8(std::slice::from_raw_parts(name, length)).unwrap_or_default(),
            inputs.collect::<Vec<&Tensor>>(),
            std::slice::from_raw_parts(numbers, m),
        )
    };
    give(run(name, &inputs, numbers))
}

fn run(name: &str, inputs: &[&Tensor], numbers: &[usize]) -> Result<Tensor> {
    match (name, inputs, numbers) {
        ("float16", [x], []) => x.to_dtype(DType::F16),
        ("bfloat16", [x], []) => x.to_dtype(DType::BF16),
        ("uint8", [x], []) => x.to_dtype(DType::U8),
        ("uint32", [x], []) => x.to_dtype(DType::U32),
        ("add", [x, y], []) => x.broadcast_add(y),
        ("mul", [x, y], []) => x.broadcast_mul(y),
        ("exp", [x], []) => x.exp(),
        ("log", [x], []) => x.log(),
        ("tanh", [x], []) => x.tanh(),
        ("sigmoid", [x], []) => ops::sigmoid(x),
        ("gelu", [x], []) => x.gelu_erf(),
        ("silu", [x], []) => x.silu(),
        ("relu", [x], []) => x.relu(),
        ("prelu", [x, w], []) => PReLU::new((*w).clone(), w.elem_count() == 1).forward(x),
        ("where", [mask, x, y], []) => mask.where_cond(x, y),
        ("sum", [x], []) => x.sum_all(),
        ("sum", [x], [axis]) => x.sum(*axis),
        ("max", [x], []) => x.max_all(),
        ("max", [x], [axis]) => x.max(*axis),
        ("softmax", [x], [axis]) if axis + 1 == x.rank() => ops::softmax_last_dim(x),
        ("softmax", [x], [axis]) => ops::softmax(x, *axis),
        ("logsoftmax", [x], [axis]) => ops::log_softmax(x, *axis),
        ("cross_entropy", [x, labels], []) => loss::cross_entropy(x, labels),
        ("layer_norm", [x, w, b], []) => ops::layer_norm(x, w, b, 1e-5),
        ("group_norm", [x, w, b], [groups]) => {
            let channels = w.elem_count();
            GroupNorm::new((*w).clone(), (*b).clone(), channels, *groups, 1e-5)?.forward(x)
        }
        // A transposed operand is a view.
        ("matmul", [a, b], [0, 0]) => a.matmul(b),
        ("matmul", [a, b], [1, 0]) => a.t()?.matmul(b),
        ("matmul", [a, b], [0, _]) => a.matmul(&b.t()?),
        ("matmul", [a, b], [_, _]) => a.t()?.matmul(&b.t()?),
        ("conv2d", [x, w], [stride, padding, groups]) => x.conv2d(w, *padding, *stride, 1, *groups),
        ("conv_transpose2d", [x, w], [stride, padding, 1]) => {
            x.conv_transpose2d(w, *padding, 0, *stride, 1)
        }
        ("max_pool2d", [x], [kernel, stride]) => x.max_pool2d_with_stride(*kernel, *stride),
        ("avg_pool2d", [x], [kernel, stride]) => x.avg_pool2d_with_stride(*kernel, *stride),
        ("mean of images", [x], []) => x.mean_keepdim((2, 3)),
        // Views.
        ("permute", [x], axes) => x.permute(axes),
        ("narrow", [x], [axis, start, length]) => x.narrow(*axis, *start, *length),
        // A view where the elements are in order, a copy where they are not.
        ("flatten", [x], []) => x.flatten_all(),
        ("concat", xs, [axis]) => Tensor::cat(xs, *axis),
        ("pad", [x], [axis, before, after]) => x.pad_with_zeros(*axis, *before, *after),
        ("gather", [x, index], [axis]) => x.gather(index, *axis),
        ("embedding", [ids, table], []) => {
            Embedding::new((*table).clone(), table.dim(1)?).forward(ids)
        }
        _ => candle_core::bail!("{name} of {} tensors, {numbers:?} is not bound", inputs.len()),
    }
}
