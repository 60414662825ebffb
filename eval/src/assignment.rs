//! The linear sum assignment problem, for metrics that match two sets of things.

/// Columns given to rows at the lowest total cost, as (row, column) by row: every row has a column,
/// or where there are fewer columns, every column a row. `cost` is row by row.
///
/// The shortest augmenting paths of Crouse (2016), scanned in the order of
/// `scipy.optimize.linear_sum_assignment`: of several best assignments it finds the same one, which
/// matters where a score depends on more than the cost.
pub(crate) fn assign(rows: usize, columns: usize, cost: &[f64]) -> Vec<(usize, usize)> {
    if rows <= columns {
        let found = columns_of_rows(rows, columns, |row, column| cost[row * columns + column]);
        return found.into_iter().enumerate().collect();
    }
    let found = columns_of_rows(columns, rows, |column, row| cost[row * columns + column]);
    let mut pairs: Vec<_> =
        found.into_iter().enumerate().map(|(column, row)| (row, column)).collect();
    pairs.sort_unstable();
    pairs
}

/// For no more rows than columns: the column of each row.
fn columns_of_rows(rows: usize, columns: usize, cost: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let mut column_of: Vec<Option<usize>> = vec![None; rows];
    let mut row_of: Vec<Option<usize>> = vec![None; columns];
    // The dual variables.
    let (mut u, mut v) = (vec![0.0; rows], vec![0.0; columns]);
    for row in 0..rows {
        // Summed in scipy's order: another rounding would break ties otherwise.
        let through = |base: f64, row, column| base + cost(row, column) - u[row] - v[column];
        let path = shortest_path(row, &row_of, through);
        u[row] += path.cost;
        for &column in &path.scanned {
            let slack = path.cost - path.costs[column];
            // Each scanned column but the last has a row, which was scanned with it.
            if let Some(row) = row_of[column] {
                u[row] += slack;
            }
            v[column] -= slack;
        }
        let mut column = path.sink;
        loop {
            let by = path.from[column];
            row_of[column] = Some(by);
            match column_of[by].replace(column) {
                Some(before) if by != row => column = before,
                _ => break,
            }
        }
    }
    column_of.into_iter().flatten().collect()
}

/// A shortest path from a row to a column without one.
struct Path {
    cost: f64,
    sink: usize,
    /// Columns in the order in which their cost became final.
    scanned: Vec<usize>,
    /// The lowest cost at which each column was reached.
    costs: Vec<f64>,
    /// The row from which each column was reached at that cost.
    from: Vec<usize>,
}

fn shortest_path(
    start: usize,
    row_of: &[Option<usize>],
    through: impl Fn(f64, usize, usize) -> f64,
) -> Path {
    let columns = row_of.len();
    // From the last to the first, so that equal costs give the identity.
    let mut remaining: Vec<usize> = (0..columns).rev().collect();
    let mut path = Path {
        cost: 0.0,
        sink: 0,
        scanned: Vec::new(),
        costs: vec![f64::INFINITY; columns],
        from: vec![start; columns],
    };
    let mut row = start;
    while !remaining.is_empty() {
        let (mut lowest, mut nearest) = (f64::INFINITY, 0);
        for (at, &column) in remaining.iter().enumerate() {
            let reached = through(path.cost, row, column);
            if reached < path.costs[column] {
                path.costs[column] = reached;
                path.from[column] = row;
            }
            let cost = path.costs[column];
            if cost < lowest || (cost == lowest && row_of[column].is_none()) {
                (lowest, nearest) = (cost, at);
            }
        }
        path.cost = lowest;
        path.sink = remaining.swap_remove(nearest);
        path.scanned.push(path.sink);
        match row_of[path.sink] {
            Some(next) => row = next,
            None => break,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::assign;
    use proptest::prelude::*;

    #[test]
    fn equal_costs_give_the_identity() {
        assert_eq!(assign(2, 3, &[1.0; 6]), [(0, 0), (1, 1)]);
        assert_eq!(assign(3, 2, &[1.0; 6]), [(0, 0), (1, 1)]);
        assert_eq!(assign(0, 2, &[]), []);
    }

    /// The lowest cost over all assignments, by trying them.
    fn lowest(rows: usize, columns: usize, cost: &[f64], row: usize, taken: u32) -> f64 {
        if row == rows {
            return 0.0;
        }
        let free = (0..columns).filter(|column| taken & (1 << column) == 0);
        free.map(|column| {
            cost[row * columns + column] + lowest(rows, columns, cost, row + 1, taken | 1 << column)
        })
        .fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #[test]
        fn no_assignment_is_cheaper(
            (rows, columns, cost) in (1..5_usize, 5..7_usize).prop_flat_map(|(rows, columns)| {
                (Just(rows), Just(columns), prop::collection::vec((0..8).prop_map(f64::from), rows * columns))
            })
        ) {
            let found: f64 =
                assign(rows, columns, &cost).iter().map(|(row, column)| cost[row * columns + column]).sum();
            prop_assert_eq!(found, lowest(rows, columns, &cost, 0, 0));
            let transposed: Vec<f64> = (0..columns)
                .flat_map(|column| (0..rows).map(move |row| (row, column)))
                .map(|(row, column)| cost[row * columns + column])
                .collect();
            let pairs = assign(columns, rows, &transposed);
            prop_assert_eq!(pairs.len(), rows);
            let turned: f64 = pairs.iter().map(|(column, row)| cost[row * columns + column]).sum();
            prop_assert_eq!(found, turned);
        }
    }
}
