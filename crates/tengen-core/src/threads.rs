//! The number of threads.

use crate::{Result, ensure};
use tengen_kernels::pool;

/// How many threads operators may use: what [`set_num_threads`] said, else the environment variable
/// `TENGEN_NUM_THREADS`, else what the system lets this process run at once.
pub fn num_threads() -> usize {
    pool::requested_threads()
}

/// Sets how many threads operators may use, the caller's included. Results do not depend on it, bit
/// for bit. No more threads work at a time than the system lets this process run at once (its cores,
/// less by CPU affinity and by the CPU limits of control groups): a greater number does no harm.
///
/// # Errors
/// Value: `n` is 0.
///
/// ```
/// use tengen_core::{num_threads, set_num_threads};
/// set_num_threads(1)?;
/// assert_eq!(num_threads(), 1);
/// assert!(set_num_threads(0).is_err());
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn set_num_threads(n: usize) -> Result<()> {
    ensure!(n > 0, Value, "set_num_threads: at least 1 thread is needed, not 0");
    pool::set_threads(n);
    Ok(())
}
