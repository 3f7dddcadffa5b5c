//! Symbolic numbers: a formula written over [`Num`] becomes a graph of operations.

use super::Num;
use std::cell::RefCell;

/// What a node of a [`Graph`] computes from its operands. Comparisons and logic give masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "variants are named after the functions of Num")]
pub enum OpCode {
    Add,
    Sub,
    Mul,
    Div,
    Neg,
    Abs,
    Fma,
    Min,
    Max,
    Sqrt,
    Copysign,
    Floor,
    Ceil,
    Round,
    Lt,
    Le,
    Eq,
    And,
    Or,
    Not,
    Sel,
    Exp,
    Expm1,
    Log,
    Log1p,
    Tanh,
    Sigmoid,
    Erf,
    Erfc,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    Pow,
    Atan2,
    Modulo,
}

/// One node of a formula's graph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// The formula's `i`-th argument.
    Input(usize),
    /// A constant.
    Const(f64),
    /// An operation and its operands (the first `arity` count).
    Op(OpCode, [Expr; 3]),
}

/// A reference to a node; a [`Num`] that records instead of computing. Only made and used inside
/// [`trace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expr(pub u32);

/// The nodes of a formula in an order in which operands come before their users.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The nodes; equal ones are shared.
    pub nodes: Vec<Node>,
    /// The formula's results.
    pub outputs: Vec<Expr>,
}

thread_local!(static NODES: RefCell<Vec<Node>> = const { RefCell::new(Vec::new()) });

/// The graph of a formula of `N` arguments.
pub fn trace<const N: usize, const R: usize>(f: impl FnOnce([Expr; N]) -> [Expr; R]) -> Graph {
    let outer = NODES.with(|n| n.replace(Vec::new()));
    let outputs = f(std::array::from_fn(|i| put(Node::Input(i)))).to_vec();
    let nodes = NODES.with(|n| n.replace(outer));
    Graph { nodes, outputs }
}

fn put(node: Node) -> Expr {
    NODES.with(|n| {
        let mut n = n.borrow_mut();
        let at = n.iter().position(|m| *m == node).unwrap_or_else(|| {
            n.push(node);
            n.len() - 1
        });
        Expr(at as u32)
    })
}

fn op<const N: usize>(code: OpCode, args: [Expr; N]) -> Expr {
    put(Node::Op(code, std::array::from_fn(|i| args[i.min(N - 1)])))
}

macro_rules! symbolic {
    ($($name:ident($($arg:ident),*) = $code:ident;)*) => {
        $(fn $name(self $(, $arg: Self)*) -> Self { op(OpCode::$code, [self $(, $arg)*]) })*
    };
}

impl Num for Expr {
    type Mask = Expr;
    fn c(v: f64) -> Self {
        put(Node::Const(v))
    }
    fn and(a: Expr, b: Expr) -> Expr {
        op(OpCode::And, [a, b])
    }
    fn or(a: Expr, b: Expr) -> Expr {
        op(OpCode::Or, [a, b])
    }
    fn not(m: Expr) -> Expr {
        op(OpCode::Not, [m])
    }
    fn sel(m: Expr, a: Self, b: Self) -> Self {
        op(OpCode::Sel, [m, a, b])
    }
    symbolic! {
        add(o) = Add; sub(o) = Sub; mul(o) = Mul; div(o) = Div; neg() = Neg; abs() = Abs;
        fma(a, b) = Fma; min(o) = Min; max(o) = Max; sqrt() = Sqrt; copysign(s) = Copysign;
        floor() = Floor; ceil() = Ceil; round() = Round; lt(o) = Lt; le(o) = Le; eq(o) = Eq;
        exp() = Exp; expm1() = Expm1; log() = Log; log1p() = Log1p; tanh() = Tanh;
        sigmoid() = Sigmoid; erf() = Erf; erfc() = Erfc; sin() = Sin; cos() = Cos; tan() = Tan;
        asin() = Asin; acos() = Acos; atan() = Atan; sinh() = Sinh; cosh() = Cosh;
        asinh() = Asinh; acosh() = Acosh; atanh() = Atanh; pow(e) = Pow; atan2(x) = Atan2;
        modulo(o) = Modulo;
    }
}
