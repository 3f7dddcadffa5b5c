//! The operators. Each lives in one place: inference, evaluation, gradient, documentation.
//!
//! - An elementwise formula is a block of `map!` in the file of its family.
//! - A primitive implements [`Op`](crate::Op) in a file of its own.
//! - A composed operator is a function over others.

mod activation;
mod arithmetic;
mod bytes;
pub(crate) mod cast;
mod compare;
mod conv;
mod create;
mod cross_entropy;
mod ctc;
mod dropout;
mod embedding;
mod index;
mod join;
mod loss;
mod math;
mod matmul;
mod norm;
mod pool;
mod prelu;
mod product;
mod recurrent;
mod reduce;
mod softmax;
mod sort;
pub(crate) mod symbolic;
mod view;

pub use activation::*;
pub use arithmetic::*;
pub use cast::cast;
pub use compare::*;
pub use conv::*;
pub use create::*;
pub use ctc::ctc_loss;
pub use dropout::dropout;
pub use embedding::embedding;
pub use index::*;
pub use join::*;
pub use loss::*;
pub use math::*;
pub use matmul::*;
pub use norm::*;
pub use pool::*;
pub use prelu::prelu;
pub use recurrent::*;
pub use reduce::*;
pub use softmax::*;
pub use sort::*;
pub use view::*;

/// Declares an elementwise operator: its function, and its formula and derivative side by side.
///
/// `saves = …` says what the derivative reads (all inputs, if left out); `by_value[dtypes](y, dy)
/// = …` gives the derivative of a function of one argument by its value y, for values of these
/// dtypes; `int(…) = …` gives the formula on integers, without which they become f32.
macro_rules! map {
    ($(
        $(#[$doc:meta])*
        $name:ident = $Op:ident($($x:ident),+) {
            f = $f:expr;
            df($dy:ident) = $df:expr;
            $(saves = $saves:expr;)?
            $(by_value[$($dtype:ident)+]($y:ident, $g:ident) = $dv:expr;)?
            $(int($($i:ident),+) = $int:expr;)?
        }
    )+) => {$(
        #[derive(Clone, Copy)]
        struct $Op;
        impl tengen_kernels::map::Map<{ [$(stringify!($x)),+].len() }> for $Op {
            #[inline(always)]
            fn f<L: tengen_kernels::lanes::Num>(&self, x: [L; [$(stringify!($x)),+].len()]) -> L {
                let [$($x),+] = x;
                $f
            }
            #[inline(always)]
            #[allow(unused_variables, reason = "some formulas leave an argument unread")]
            fn df<L: tengen_kernels::lanes::Num>(
                &self,
                x: [L; [$(stringify!($x)),+].len()],
                $dy: L,
            ) -> [L; [$(stringify!($x)),+].len()] {
                let [$($x),+] = x;
                $df
            }
        }
        impl $crate::elementwise::Elementwise<{ [$(stringify!($x)),+].len() }> for $Op {
            const NAME: &'static str = stringify!($name);
            $(const SAVES: $crate::Saves = $saves;)?
            $(
                fn by_value(dtype: $crate::DType) -> bool {
                    matches!(dtype, $($crate::DType::$dtype)|+)
                }
                fn grad(&self, g: &$crate::autograd::Gradient) -> $crate::Result<$crate::op::Grads> {
                    use $crate::elementwise::{gradient_at, map_gradient};
                    use tengen_kernels::{lanes::Num, map::Map};
                    /// The function with its derivative by its value.
                    #[derive(Clone, Copy)]
                    struct ByValue;
                    impl Map<1> for ByValue {
                        #[inline(always)]
                        fn f<L: Num>(&self, x: [L; 1]) -> L {
                            $Op.f(x)
                        }
                        #[inline(always)]
                        fn df<L: Num>(&self, [$y]: [L; 1], $g: L) -> [L; 1] {
                            $dv
                        }
                    }
                    let dy = g.dy(0)?;
                    if Self::by_value(dy.dtype()) {
                        gradient_at(&ByValue, [g.output(0)?], &dy, g)
                    } else {
                        map_gradient(self, g)
                    }
                }
            )?
            $(
                const INTS: bool = true;
                #[inline(always)]
                fn int<I: $crate::elementwise::Int>(&self, x: [I; [$(stringify!($i)),+].len()]) -> I {
                    let [$($i),+] = x;
                    $int
                }
            )?
        }
        $(#[$doc])*
        ///
        /// # Errors
        /// Shape: the operands cannot be broadcast together. Memory: the result cannot be had.
        pub fn $name($($x: &$crate::Tensor),+) -> $crate::Result<$crate::Tensor> {
            $crate::apply1($crate::elementwise::MapOp($Op), &[$($x),+])
        }
    )+};
}
use map;
