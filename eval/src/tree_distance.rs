//! Edit distance of ordered trees.

/// An ordered tree with a label at each node.
#[derive(Clone, Debug)]
pub(crate) struct Tree<T> {
    pub(crate) label: T,
    pub(crate) children: Vec<Tree<T>>,
}

impl<T> Tree<T> {
    pub(crate) fn leaf(label: T) -> Self {
        Self { label, children: Vec::new() }
    }
}

/// What edits cost.
pub(crate) struct Costs<R, U> {
    /// Of a node that is put in or taken out.
    pub(crate) node: R,
    /// Of a label that becomes another.
    pub(crate) relabel: U,
}

/// The least cost of edits that make one tree of the other (Zhang and Shasha 1989).
pub(crate) fn tree_distance<T>(
    from: &Tree<T>,
    to: &Tree<T>,
    costs: &Costs<impl Fn(&T) -> f64, impl Fn(&T, &T) -> f64>,
) -> f64 {
    let (from, to) = (Postorder::of(from), Postorder::of(to));
    let mut distances = vec![vec![0.0; to.labels.len()]; from.labels.len()];
    let (roots, to_roots) = (from.keyroots(), to.keyroots());
    let mut forests = Vec::new();
    for &i in &roots {
        for &j in &to_roots {
            forest_distances((&from, i), (&to, j), costs, &mut forests, &mut distances);
        }
    }
    distances[from.labels.len() - 1][to.labels.len() - 1]
}

/// Fills in the distances of the subtrees on the leftmost paths of `i` and `j`. `forests` is room to
/// work in.
fn forest_distances<T>(
    (from, i): (&Postorder<'_, T>, usize),
    (to, j): (&Postorder<'_, T>, usize),
    costs: &Costs<impl Fn(&T) -> f64, impl Fn(&T, &T) -> f64>,
    forests: &mut Vec<f64>,
    distances: &mut [Vec<f64>],
) {
    let (first, second) = (from.leftmost[i], to.leftmost[j]);
    let (rows, columns) = (i - first + 2, j - second + 2);
    // Of the first nodes of each forest: none, one, two, …
    // Row by row, and within each row column by column.
    let at = |row: usize, column: usize| row * columns + column;
    forests.clear();
    forests.resize(rows * columns, 0.0);
    for row in 1..rows {
        forests[at(row, 0)] = forests[at(row - 1, 0)] + (costs.node)(from.labels[first + row - 1]);
    }
    for column in 1..columns {
        forests[at(0, column)] =
            forests[at(0, column - 1)] + (costs.node)(to.labels[second + column - 1]);
    }
    for row in 1..rows {
        for column in 1..columns {
            let (a, b) = (first + row - 1, second + column - 1);
            let out = forests[at(row - 1, column)] + (costs.node)(from.labels[a]);
            let into = forests[at(row, column - 1)] + (costs.node)(to.labels[b]);
            let whole_trees = from.leftmost[a] == first && to.leftmost[b] == second;
            let kept = match whole_trees {
                true => {
                    forests[at(row - 1, column - 1)] + (costs.relabel)(from.labels[a], to.labels[b])
                }
                false => {
                    forests[at(from.leftmost[a] - first, to.leftmost[b] - second)] + distances[a][b]
                }
            };
            forests[at(row, column)] = out.min(into).min(kept);
            if whole_trees {
                distances[a][b] = forests[at(row, column)];
            }
        }
    }
}

/// The nodes of a tree, children before their parents.
struct Postorder<'a, T> {
    labels: Vec<&'a T>,
    /// Of each node, the first node of its subtree.
    leftmost: Vec<usize>,
}

impl<'a, T> Postorder<'a, T> {
    fn of(tree: &'a Tree<T>) -> Self {
        let mut order = Self { labels: Vec::new(), leftmost: Vec::new() };
        order.push(tree);
        order
    }

    fn push(&mut self, tree: &'a Tree<T>) {
        let first = self.labels.len();
        for child in &tree.children {
            self.push(child);
        }
        self.labels.push(&tree.label);
        self.leftmost.push(first);
    }

    /// The root, and each node that has a sibling before it.
    fn keyroots(&self) -> Vec<usize> {
        let mut last_with = vec![0; self.labels.len()];
        for (at, &leftmost) in self.leftmost.iter().enumerate() {
            last_with[leftmost] = at;
        }
        (0..self.labels.len()).filter(|&at| last_with[self.leftmost[at]] == at).collect()
    }
}
