//! The operators. Each lives in one place: inference, evaluation, gradient, documentation.
//!
//! - An elementwise formula is a block of `map!` in the file of its family.
//! - A primitive implements [`Op`](crate::Op) in a file of its own.
//! - A composed operator is a function over others.

mod activation;
mod arithmetic;
pub(crate) mod axes;
pub(crate) mod cast;
pub(crate) mod compare;
pub(crate) mod conv;
pub(crate) mod create;
pub(crate) mod cross_entropy;
pub(crate) mod ctc;
pub(crate) mod draw;
mod dropout;
pub(crate) mod elementwise;
mod embedding;
pub(crate) mod index;
pub(crate) mod join;
mod loss;
mod math;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod pool;
mod prelu;
mod product;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod scan;
pub(crate) mod softmax;
pub(crate) mod sort;
pub(crate) mod step;
pub(crate) mod view;

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
pub use scan::*;
pub use softmax::*;
pub use sort::*;
pub use view::*;

/// The operators of each file, of which [`Table`](crate::op::Table)s are made.
pub mod families {
    use crate::op::Entry;

    macro_rules! families {
        ($($(#[$doc:meta])* $name:ident = $file:ident;)*) => {
            $($(#[$doc])* pub const $name: &[&[Entry]] = super::$file::OPERATORS;)*
            /// All of them.
            pub const ALL: &[&[&[Entry]]] = &[$($name),*];
        };
    }
    families! {
        /// Those of `activation`.
        ACTIVATION = activation;
        /// Those of `arithmetic`.
        ARITHMETIC = arithmetic;
        /// Those of `cast`.
        CAST = cast;
        /// Those of `compare`.
        COMPARE = compare;
        /// Those of `conv`.
        CONV = conv;
        /// Those of `create`.
        CREATE = create;
        /// Those of `cross_entropy`.
        CROSS_ENTROPY = cross_entropy;
        /// Those of `ctc`.
        CTC = ctc;
        /// Those of `draw`.
        DRAW = draw;
        /// Those of `index`.
        INDEX = index;
        /// Those of `join`.
        JOIN = join;
        /// Those of `loss`.
        LOSS = loss;
        /// Those of `math`.
        MATH = math;
        /// Those of `matmul`.
        MATMUL = matmul;
        /// Those of `norm`.
        NORM = norm;
        /// Those of `pool`.
        POOL = pool;
        /// Those of `prelu`.
        PRELU = prelu;
        /// Those of `recurrent`.
        RECURRENT = recurrent;
        /// Those of `reduce`.
        REDUCE = reduce;
        /// Those of `scan`.
        SCAN = scan;
        /// Those of `softmax`.
        SOFTMAX = softmax;
        /// Those of `sort`.
        SORT = sort;
        /// Those of `step`.
        STEP = step;
        /// Those of `view`.
        VIEW = view;
    }
}

/// Declares elementwise operators: for each its function, and its formula and derivative side by
/// side; and the list of them, `MAPS`.
///
/// `name = Op(x, y; a, b)` has numbers a and b as parameters, which the formula reads as constants.
/// `saves = …` says what the derivative reads (all inputs, if left out); `by_value[dtypes](y, dy)
/// = …` gives the derivative of a function of one argument by its value y, for values of these
/// dtypes; `int(x; a) = …` gives the formula on integers, and names the parameters that it reads;
/// without it they become f32.
macro_rules! map {
    ($(
        $(#[$doc:meta])*
        $name:ident = $Op:ident($($x:ident),+ $(; $($p:ident),+)?) {
            f = $f:expr;
            df($dy:ident) = $df:expr;
            $(saves = $saves:expr;)?
            $(by_value[$($dtype:ident)+]($y:ident, $g:ident) = $dv:expr;)?
            $(int($($i:ident),+ $(; $($q:ident),+)?) = $int:expr;)?
        }
    )+) => {
        /// The operators that are declared by formulas here.
        const MAPS: &[$crate::op::Entry] = &[$(
            $crate::op::Entry::of::<
                $crate::ops::elementwise::MapOp<$Op, { [$(stringify!($x)),+].len() }>
            >(&[stringify!($name)]),
            $crate::op::Entry::of::<
                $crate::ops::elementwise::MapGradient<$Op, { [$(stringify!($x)),+].len() }>
            >(&[concat!(stringify!($name), "_gradient")]),
        )+];
        $(
        #[derive(Clone, Copy, $crate::op::Attributes)]
        struct $Op { $($($p: $crate::Scalar),+)? }
        impl tengen_kernels::map::Map<{ [$(stringify!($x)),+].len() }> for $Op {
            #[inline(always)]
            fn f<L: tengen_kernels::lanes::Num>(&self, x: [L; [$(stringify!($x)),+].len()]) -> L {
                let [$($x),+] = x;
                $($(let $p = L::c(self.$p.to_f64());)+)?
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
                $($(let $p = L::c(self.$p.to_f64());)+)?
                $df
            }
        }
        impl $crate::ops::elementwise::Elementwise<{ [$(stringify!($x)),+].len() }> for $Op {
            const NAME: &'static str = stringify!($name);
            const GRADIENT: &'static str = concat!(stringify!($name), "_gradient");
            $(const SAVES: $crate::Saves = $saves;)?
            $(
                const BY_VALUE: &'static [$crate::DType] = &[$($crate::DType::$dtype),+];
                #[inline(always)]
                fn dv<L: tengen_kernels::lanes::Num>(&self, $y: L, $g: L) -> L {
                    $dv
                }
            )?
            $(
                const INTS: bool = true;
                #[inline(always)]
                fn int<I: $crate::ops::elementwise::Int>(
                    &self,
                    x: [I; [$(stringify!($i)),+].len()],
                ) -> I {
                    let [$($i),+] = x;
                    $($(let $q: I = self.$q.nearest();)+)?
                    $int
                }
            )?
        }
        $(#[$doc])*
        ///
        /// # Errors
        /// Shape: the operands cannot be broadcast together. Memory: the result cannot be had.
        pub fn $name(
            $($x: &$crate::Tensor,)+
            $($($p: impl Into<$crate::Scalar>,)+)?
        ) -> $crate::Result<$crate::Tensor> {
            $crate::apply1($crate::ops::elementwise::MapOp($Op { $($($p: $p.into()),+)? }), &[$($x),+])
        }
    )+};
}
use map;
