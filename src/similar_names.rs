//! Which name somebody may have meant who wrote another one.

/// Names that are suggested for one that isn't there.
const MAX_SIMILAR: usize = 3;
/// Names that so many insertions, deletions and replacements turn into each other are similar.
const MAX_EDITS: usize = 2;

/// The names that somebody who wrote `name` may have meant, the most similar first, at most three: they differ from it by case or
/// by one or two letters, or one holds the other.
pub fn similar_names<'a>(names: impl IntoIterator<Item = &'a str>, name: &str) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let rank = |other: &str| {
        let other = other.to_lowercase();
        let edits = n_edits(&other, &name);
        let shorter = other.chars().count().min(name.chars().count());
        if edits <= MAX_EDITS && edits < shorter {
            Some(edits)
        } else {
            let holds = shorter > MAX_EDITS && (other.contains(&name) || name.contains(&other));
            holds.then_some(MAX_EDITS + 1)
        }
    };
    let mut similar: Vec<(usize, &str)> = names.into_iter().filter_map(|other| Some((rank(other)?, other))).collect();
    similar.sort_unstable();
    similar.into_iter().map(|(_, name)| name).take(MAX_SIMILAR).collect()
}

/// Levenshtein's distance, or more than [`MAX_EDITS`] when the lengths alone differ by that.
fn n_edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > MAX_EDITS {
        return MAX_EDITS + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_have_been_meant_are_found() {
        let names = ["business", "law_crime", "science", "sports", "ab"];
        let similar = |name| similar_names(names, name);
        assert_eq!(similar("Sport"), ["sports"]);
        assert_eq!(similar("sceince"), ["science"]);
        assert_eq!(similar("crime"), ["law_crime"]);
        assert_eq!(similar("BUSINESS"), ["business"]);
        assert!(similar("weather").is_empty() && similar("x").is_empty() && similar("cd").is_empty());
    }
}
