#![no_main]

use libfuzzer_sys::fuzz_target;
use tengen_core::Tensor;
use tengen_core::graph::Graph;
use tengen_core::op::Table;

/// Elements of all values of a graph that is run.
const MOST: usize = 10_000;

fuzz_target!(|data: &[u8]| {
    let Ok(graph) = Graph::decode(data, Table::all()) else { return };
    let bytes = graph.encode().expect("what was read can be written");
    let again = Graph::decode(&bytes, Table::all()).expect("what was written can be read");
    assert_eq!(again.to_string(), graph.to_string());
    let constants: Vec<_> = graph.constants().iter().map(Tensor::meta).collect();
    let steps = graph.steps().iter().flat_map(|s| s.metas());
    let all = graph.inputs().iter().chain(&constants).chain(steps);
    if all.map(|m| m.shape.numel()).fold(0, usize::saturating_add) > MOST {
        return;
    }
    let inputs = graph.inputs().iter().map(|m| Tensor::zeros(&m.shape, m.dtype));
    let inputs: Vec<Tensor> = inputs.collect::<Result<_, _>>().expect("small tensors can be had");
    if let Ok(results) = graph.run(inputs) {
        let metas: Vec<_> = results.iter().map(Tensor::meta).collect();
        assert_eq!(metas, graph.outputs());
    }
});
