//! Batches of data sets.

use std::cell::Cell;
use tengen::data::{ArrayDataset, DataLoader, Dataset};
use tengen::random::Generator;
use tengen::{DType, Result, Tensor};

fn numbers(n: i32) -> ArrayDataset {
    let all: Vec<i32> = (0..n).collect();
    ArrayDataset::new([Tensor::from_slice(&all, &[all.len()]).unwrap()]).unwrap()
}

fn epoch<D: Dataset>(loader: &DataLoader<D>) -> Vec<Vec<i32>> {
    let batches = loader.epoch().unwrap();
    assert_eq!(batches.len(), loader.len());
    batches.map(|b| b.unwrap()[0].to_vec::<i32>().unwrap()).collect()
}

#[test]
fn batches_come_in_order_and_the_last_has_the_rest() {
    let loader = DataLoader::new(numbers(5), 2).unwrap();
    assert_eq!(epoch(&loader), [vec![0, 1], vec![2, 3], vec![4]]);
    assert_eq!(epoch(&loader.drop_last(true)), [[0, 1], [2, 3]]);
    assert!(DataLoader::new(numbers(0), 3).unwrap().is_empty());
    assert!(DataLoader::new(numbers(5), 0).is_err());
    assert_eq!(epoch(&DataLoader::new(numbers(2), usize::MAX).unwrap()), [[0, 1]]);
}

#[test]
fn shuffling_takes_every_example_once_and_follows_the_seed() {
    let loader = |seed| DataLoader::new(numbers(100), 8).unwrap().shuffle(Generator::new(seed));
    let (a, b) = (loader(3), loader(3));
    let first = epoch(&a);
    assert_eq!(first, epoch(&b));
    let second = epoch(&a);
    assert_ne!(first, second);
    let mut all = second.concat();
    all.sort();
    assert!(all.into_iter().eq(0..100));
}

#[test]
fn examples_that_do_not_fit_together_are_errors() {
    let rows = |n| Tensor::zeros(&[n, 2], DType::F32).unwrap();
    assert!(ArrayDataset::new([rows(3), rows(4)]).is_err());
    assert!(ArrayDataset::new([]).is_err());
    assert!(ArrayDataset::new([Tensor::zeros(&[], DType::F32).unwrap()]).is_err());
    assert!(numbers(3).get(3).is_err());
    assert!(numbers(3).batch(&[0, 3]).is_err());

    /// Examples of ever more elements, in a set that grows while it is read.
    struct Growing(Cell<usize>);
    impl Dataset for Growing {
        fn len(&self) -> usize {
            self.0.get()
        }
        fn get(&self, index: usize) -> Result<Vec<Tensor>> {
            self.0.set(self.0.get() + 1);
            Ok(vec![Tensor::zeros(&[index], DType::F32)?])
        }
    }
    let loader = DataLoader::new(Growing(Cell::new(4)), 1).unwrap().shuffle(Generator::new(1));
    assert_eq!(loader.epoch().unwrap().filter(Result::is_ok).count(), 4);
    let loader = DataLoader::new(Growing(Cell::new(4)), 2).unwrap();
    assert!(loader.epoch().unwrap().all(|b| b.is_err()));
}
