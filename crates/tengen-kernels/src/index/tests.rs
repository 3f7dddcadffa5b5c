use super::*;
use crate::lanes::{available, with_isa};

fn numbers(n: usize, seed: u64, below: i64) -> Vec<i64> {
    let mut s = seed;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (s >> 33) as i64 % below
        })
        .collect()
}

#[test]
fn take_put_and_add_rows_follow_their_formulas() {
    for (rows, inner, picks) in
        [(5, 3, 7), (4, 1, 9), (1, 0, 2), (6, 40, 0), (3, 2, 1), (9, 333, 20)]
    {
        let src: Vec<i64> = (0..(rows * inner) as i64).collect();
        let indices: Vec<i32> =
            numbers(picks, 3, 2 * rows as i64).iter().map(|&i| (i - rows as i64) as i32).collect();
        let row = |i: i32| if i < 0 { i + rows as i32 } else { i } as usize;
        let mut out = vec![-1; picks * inner];
        take_rows(&src, rows, inner, &indices, &mut out).unwrap();
        for (k, &i) in indices.iter().enumerate() {
            assert_eq!(out[k * inner..][..inner], src[row(i) * inner..][..inner]);
        }
        let values = numbers(picks * inner, 5, 100);
        let (mut put, mut sum) = (src.clone(), src.clone());
        let (mut put_naive, mut sum_naive) = (src.clone(), src.clone());
        for (k, &i) in indices.iter().enumerate() {
            for j in 0..inner {
                put_naive[row(i) * inner + j] = values[k * inner + j];
                sum_naive[row(i) * inner + j] += values[k * inner + j];
            }
        }
        put_rows(&mut put, rows, inner, &indices, &values).unwrap();
        assert_eq!(put, put_naive);
        let mut put = src.clone();
        for columns in [0..inner / 3, inner / 3..inner] {
            // SAFETY: `put` has `rows · inner` elements.
            unsafe { put_columns(put.as_mut_ptr(), rows, inner, columns, &indices, &values) }
                .unwrap();
        }
        assert_eq!(put, put_naive);
        for first in (0..rows).step_by(2) {
            let part = &mut sum[first * inner..(first + 2).min(rows) * inner];
            add_rows(part, first, rows, inner, &indices, &values).unwrap();
        }
        assert_eq!(sum, sum_naive);
    }
}

#[test]
fn gather_scatter_and_scatter_add_follow_their_formulas() {
    for (outer, axis, inner, picks) in [(2, 3, 4, 5), (1, 6, 1, 6), (3, 1, 2, 4), (0, 2, 2, 2)] {
        let src: Vec<f32> = (0..outer * axis * inner).map(|i| i as f32).collect();
        let n = outer * picks * inner;
        let indices = numbers(n, 11, axis as i64);
        let values: Vec<f32> = numbers(n, 2, 50).iter().map(|&v| v as f32).collect();
        let (mut out, mut put, mut sum) = (vec![0.0; n], src.clone(), src.clone());
        gather(&src, axis, inner, &indices, picks, &mut out).unwrap();
        scatter(&mut put, axis, inner, &indices, picks, &values).unwrap();
        scatter_add(&mut sum, axis, inner, &indices, picks, &values).unwrap();
        let (mut put_naive, mut sum_naive) = (src.clone(), src.clone());
        for o in 0..outer {
            for k in 0..picks {
                for i in 0..inner {
                    let at = (o * picks + k) * inner + i;
                    let to = (o * axis + indices[at] as usize) * inner + i;
                    assert_eq!(out[at], src[to]);
                    put_naive[to] = values[at];
                    sum_naive[to] += values[at];
                }
            }
        }
        assert_eq!(put, put_naive);
        assert_eq!(sum, sum_naive);
    }
}

#[test]
fn lines_of_words_are_gathered_on_every_instruction_set() {
    for (outer, axis, picks) in [(3, 50, 37), (2, 7, 16), (1, 1, 5), (4, 100, 64)] {
        let src: Vec<u32> = (0..outer * axis).map(|i| 0xffff_0000 + i as u32).collect();
        let n = axis as i64;
        let mut indices: Vec<i32> =
            numbers(outer * picks, 11, 2 * n).iter().map(|i| (i - n) as i32).collect();
        let from = |at: usize, i: i32| {
            src[at / picks * axis + (if i < 0 { i64::from(i) + n } else { i.into() }) as usize]
        };
        let want: Vec<u32> = indices.iter().enumerate().map(|(at, &i)| from(at, i)).collect();
        for isa in available() {
            let mut dst = vec![0; indices.len()];
            with_isa(*isa, || gather(&src, axis, 1, &indices, picks, &mut dst)).unwrap().unwrap();
            assert_eq!(dst, want, "{isa:?} {outer}×{axis} by {picks}");
        }
        let last = indices.len() - 1;
        for bad in [axis as i32, -1 - axis as i32, i32::MIN] {
            indices[last] = bad;
            let mut dst = vec![0; indices.len()];
            let error = gather(&src, axis, 1, &indices, picks, &mut dst).unwrap_err();
            assert_eq!(error, OutOfRange { position: last, index: bad.into() });
        }
    }
}

#[test]
fn the_first_index_out_of_range_is_reported_and_nothing_is_written() {
    let mut out = [9; 3];
    let error = take_rows(&[1, 2], 2, 1, &[0, 2, -3], &mut out).unwrap_err();
    assert_eq!(error, OutOfRange { position: 1, index: 2 });
    assert_eq!(out, [9; 3]);
    let error = gather(&[1, 2], 2, 1, &[-3i64], 1, &mut out[..1]).unwrap_err();
    assert_eq!(error, OutOfRange { position: 0, index: -3 });
    assert!(take_rows(&[] as &[u8], 0, 4, &[0u8], &mut [0; 4]).is_err());
    assert!(check_indices(&[u8::MAX], 255).is_err());
    assert!(check_indices(&[i64::MIN], 3).is_err());
}

#[test]
fn nonzero_lists_positions() {
    let mask: Vec<u8> = numbers(1000, 1, 3).iter().map(|&v| v as u8).collect();
    let expected: Vec<i32> = (0..1000).filter(|&i| mask[i as usize] != 0).map(|i| i + 40).collect();
    assert_eq!(count_nonzero(&mask), expected.len());
    let mut out = vec![0; expected.len()];
    assert_eq!(nonzero(&mask, 40, &mut out), expected.len());
    assert_eq!(out, expected);
    assert_eq!(count_nonzero(&[1; 700]), 700);
    assert_eq!(nonzero(&[], 0, &mut []), 0);
}
