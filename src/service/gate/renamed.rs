//! What topics that a version was trained with are called now.
//!
//! A topic goes by the last name that it got after the version was trained, through any number of renamings; topics that were
//! merged go by one name. Where documents came again with the old name, other than by renaming another topic so, nobody can
//! say which they mean: then the topic keeps its name.

use std::fmt;

use crate::document::Topic;
use crate::store::RenamedTopic;

/// A topic of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownTopic {
    /// As the version calls it.
    pub(super) own: Topic,
    /// As documents are labelled with it now.
    pub(super) current: Topic,
}

impl KnownTopic {
    /// `renamed` is what was renamed since, in that order; `in_use` are the topics that documents have.
    pub(super) fn of(own: &Topic, renamed: &[RenamedTopic], in_use: &[Topic]) -> Self {
        let mut current = own;
        let mut is_given_on = false;
        for RenamedTopic { topic, new_topic, .. } in renamed {
            if topic == current {
                current = new_topic;
            } else if current != own {
                // Whether documents with the old name are another topic's.
                is_given_on = new_topic == own || (is_given_on && topic != own);
            }
        }
        let is_back = !is_given_on && in_use.contains(own);
        Self { own: own.clone(), current: if is_back { own.clone() } else { current.clone() } }
    }

    pub(super) fn is_renamed(&self) -> bool {
        self.own != self.current
    }
}

impl fmt::Display for KnownTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { own, current } = self;
        if self.is_renamed() { write!(f, "{own} (now {current})") } else { write!(f, "{own}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `own` is called after renamings, where documents have the topics `in_use`.
    fn current(own: &str, renamed: &[(&str, &str)], in_use: &[&str]) -> String {
        let topic = |name: &str| Topic::new(name).unwrap();
        let renamed = (2..).zip(renamed).map(|(revision, (old, new))| RenamedTopic {
            revision,
            topic: topic(old),
            new_topic: topic(new),
        });
        let in_use: Vec<Topic> = in_use.iter().map(|name| topic(name)).collect();
        KnownTopic::of(&topic(own), &renamed.collect::<Vec<_>>(), &in_use).current.to_string()
    }

    #[test]
    fn a_topic_goes_by_its_last_name() {
        assert_eq!(current("a", &[], &["a"]), "a");
        assert_eq!(current("a", &[("a", "b"), ("x", "y"), ("b", "c")], &["c"]), "c");
        assert_eq!(current("a", &[("a", "b"), ("b", "a")], &["a"]), "a");
        // Whether or not documents are left.
        assert_eq!(current("a", &[("a", "b")], &[]), "b");
    }

    #[test]
    fn merged_topics_go_by_one_name() {
        let merged = [("a", "c"), ("b", "c")];
        assert_eq!(["a", "b", "c"].map(|own| current(own, &merged, &["c"])), ["c", "c", "c"]);
    }

    #[test]
    fn a_name_that_is_back_is_what_it_was() {
        assert_eq!(current("a", &[("a", "b")], &["a", "b"]), "a");
        // Moved on again: what it was is what it is called now.
        assert_eq!(current("a", &[("a", "b"), ("a", "c")], &["b", "c"]), "b");
    }

    #[test]
    fn a_name_that_another_topic_got_by_renaming_is_not_back() {
        let swapped = [("a", "x"), ("b", "a"), ("x", "b")];
        assert_eq!(["a", "b"].map(|own| current(own, &swapped, &["a", "b"])), ["b", "a"]);
        let moved_on = [("a", "x"), ("b", "a"), ("a", "c")];
        assert_eq!(current("a", &moved_on, &["a", "c", "x"]), "a");
        assert_eq!(current("b", &moved_on, &["a", "c", "x"]), "c");
    }
}
