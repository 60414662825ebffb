//! The order in which CPython walks through a set of small numbers, which is that of its table
//! (`Objects/setobject.c`). It decides which of several best assignments a scorer finds.

/// Slots that are tried in a row.
const PROBES: usize = 9;

/// The numbers in the order of `list(a - b)`, where `a` is the set of `0..count` and `b` the set of
/// those that `is_out` names, of which there are `out`.
pub(crate) fn difference(count: usize, out: usize, is_out: impl Fn(usize) -> bool) -> Vec<usize> {
    let left = (0..count).filter(|&number| !is_out(number));
    // A set that is much larger is copied and loses the others; its numbers lie in order.
    if count / 4 > out {
        return left.collect();
    }
    let mut table = vec![None; 8];
    for (held, number) in left.enumerate() {
        insert(&mut table, number);
        let held = held + 1;
        if held * 5 >= (table.len() - 1) * 3 {
            let wanted = if held > 50_000 { held * 2 } else { held * 4 };
            let mut larger = vec![None; (wanted + 1).next_power_of_two().max(8)];
            table.iter().flatten().for_each(|&number| insert(&mut larger, number));
            table = larger;
        }
    }
    table.into_iter().flatten().collect()
}

fn insert(table: &mut [Option<usize>], number: usize) {
    let mask = table.len() - 1;
    let (mut at, mut perturb) = (number & mask, number);
    loop {
        let last = if at + PROBES <= mask { at + PROBES } else { at };
        if let Some(free) = (at..=last).find(|&slot| table[slot].is_none()) {
            table[free] = Some(number);
            return;
        }
        perturb >>= 5;
        at = (at * 5 + 1 + perturb) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn the_order_is_that_of_cpython() {
        // `list(set(range(count)) - set(out))` in CPython 3.11.
        let cases: [(usize, &[usize]); 8] = [
            (5, &[0, 2, 3, 4]),
            (10, &[8, 9, 6]),
            (20, &[16, 17, 18, 19]),
            (40, &[9, 17, 33]),
            (40, &[32, 39, 8, 16, 24]),
            (100, &[0, 98, 35, 70, 7, 42, 77, 14, 49, 84, 21, 56, 91, 28, 63]),
            (
                30,
                &[
                    0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
                    24, 25, 26, 27, 28, 29,
                ],
            ),
            (70, &[64, 1, 33, 8, 40]),
        ];
        for (count, order) in cases {
            let out = count - order.len();
            let found = difference(count, out, |number| !order.contains(&number));
            assert_eq!(found, order, "{count}");
        }
    }
}
