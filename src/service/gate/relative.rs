//! A new version against the stable one, on the same documents, neither of which has learned them as far as it is asked.
//!
//! Where documents were held out of the new version's training, these are the ones, and it answers itself. Where none were,
//! they are the documents that it was trained on, and its out-of-fold predictions count. In both cases the stable version
//! answers for those that it wasn't trained on; for the others its out-of-fold predictions count. So no labelled document
//! has to be kept from training, and one that is kept is used.

use super::absolute::some_of;
use super::renamed::KnownTopic;
use super::{Challenger, Check, PromotionPolicy, ROUNDING, StableVersion};
use crate::cancellation::IsCancelled;
use crate::decision::Probability;
use crate::document::{ContentHash, Document, LabeledDocument, Topic};
use crate::evaluation::{Comparison, Evaluation, EvaluationSource, macro_f1};
use crate::service::out_of_fold::UnlearnedAnswers;
use crate::targets::{Targets, all_topics};

/// The new version's macro-F1 may be this much below the stable one's where documents are many, and where they are few.
const MACRO_F1_MARGINS: (f64, f64) = (0.02, 0.1);

/// Compares a trained version with the stable one.
pub(super) fn check(
    policy: &PromotionPolicy,
    new: Challenger<'_>,
    stable: StableVersion<'_>,
    is_cancelled: IsCancelled<'_>,
) -> Vec<Check> {
    let topics = stable.live.classifier.topics().iter();
    let topics = topics.map(|topic| KnownTopic::of(topic, stable.renamed, new.dataset.topics()));
    let topics = StableTopics::sort(topics.collect(), new.dataset.topics(), &policy.lost_topics_allowed);
    let contest = Contest::hold(new, stable, &topics, is_cancelled);
    let mut checks = vec![topics.check()];
    checks.extend(policy.max_accuracy_drop.map(|allowed| contest.check_accuracy(allowed)));
    checks.push(contest.check_macro_f1(policy.max_macro_f1_drop));
    checks.extend(policy.significance.map(|level| contest.check_significance(level)));
    checks
}

/// The checks of a policy's rules where there is nothing to compare with: they are met.
pub(super) fn without_stable(policy: &PromotionPolicy, evaluation: &Evaluation) -> Vec<Check> {
    let check = |name: &str, observed, required, what: String| Check {
        name: name.to_owned(),
        passed: true,
        observed,
        required,
        description: format!("{what}; there is no stable version that answers, to compare it with"),
    };
    let Evaluation { accuracy, macro_f1, .. } = *evaluation;
    let may_lose_topics = !policy.lost_topics_allowed.is_empty();
    let checks = [
        may_lose_topics.then(|| check("topics_lost", 0.0, 0.0, "no topic is lost".to_owned())),
        policy.max_accuracy_drop.map(|_| check("accuracy", accuracy, 0.0, format!("accuracy is {accuracy:.4}"))),
        policy.max_macro_f1_drop.map(|_| check("macro_f1", macro_f1, 0.0, format!("macro-F1 is {macro_f1:.4}"))),
        policy.significance.map(|level| check("significance", 1.0, level.get(), "it isn't the worse one".to_owned())),
    ];
    checks.into_iter().flatten().collect()
}

/// The stable version's topics, and which of them the new one lacks.
struct StableTopics {
    /// All, in the order in which the stable version numbers them.
    all: Vec<KnownTopic>,
    /// Those that are lacking.
    missing: Vec<KnownTopic>,
    /// Those that are lacking and may be.
    let_go: Vec<KnownTopic>,
}

impl StableTopics {
    /// Says of topics whether they are among those of the new version, and if not, whether that is allowed.
    fn sort(all: Vec<KnownTopic>, of_new: &[Topic], allowed: &[String]) -> Self {
        let is_allowed = |topic: &KnownTopic| {
            allowed.iter().any(|name| [&topic.own, &topic.current].iter().any(|topic| topic.as_str() == name))
        };
        let lost = all.iter().filter(|topic| !of_new.contains(&topic.current)).cloned();
        let (let_go, missing) = lost.partition(is_allowed);
        Self { all, missing, let_go }
    }

    fn check(&self) -> Check {
        let names = |topics: &[KnownTopic]| some_of(&topics.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut description = match (&*self.missing, &*self.let_go) {
            ([], []) => "it has every topic of the stable version".to_owned(),
            ([], _) => "it has every topic of the stable version that it may not lose".to_owned(),
            _ => format!("these topics of the stable version have no documents: {}", names(&self.missing)),
        };
        if !self.let_go.is_empty() {
            description.push_str(&format!("; without documents, as is allowed: {}", names(&self.let_go)));
        }
        let is_lost = |topic: &KnownTopic| self.missing.contains(topic) || self.let_go.contains(topic);
        let renamed: Vec<KnownTopic> =
            self.all.iter().filter(|topic| topic.is_renamed() && !is_lost(topic)).cloned().collect();
        if !renamed.is_empty() {
            description.push_str(&format!("; renamed since that was trained: {}", names(&renamed)));
        }
        Check {
            name: "topics_lost".to_owned(),
            passed: self.missing.is_empty(),
            observed: self.missing.len() as f64,
            required: 0.0,
            description,
        }
    }

    /// What they are called now, in the order in which the stable version numbers them.
    fn current(&self) -> Vec<Topic> {
        self.all.iter().map(|topic| topic.current.clone()).collect()
    }

    fn is_let_go(&self, topic: &Topic) -> bool {
        self.let_go.iter().any(|let_go| let_go.current == *topic)
    }
}

/// What two versions say of the same documents.
struct Contest {
    /// Which documents these are.
    source: EvaluationSource,
    /// Of these, how many are new to the stable version.
    n_new: usize,
    /// First the stable version, then the new one.
    comparison: Comparison,
    /// Macro-F1 of the stable version's topics, without those that were let go: its own, and the new version's.
    macro_f1: [f64; 2],
}

impl Contest {
    /// Asks both versions. Held-out documents with a topic that was let go aren't among those that they are asked about: the
    /// new version can't be right about them, and needn't be.
    fn hold(
        new: Challenger<'_>,
        stable: StableVersion<'_>,
        of_stable: &StableTopics,
        is_cancelled: IsCancelled<'_>,
    ) -> Self {
        let counts = |example: &&LabeledDocument| !example.topics().iter().any(|topic| of_stable.is_let_go(topic));
        let held_out: Vec<&LabeledDocument> = new.dataset.held_out().iter().filter(counts).collect();
        if held_out.is_empty() {
            return Self::out_of_fold(new, stable, of_stable, is_cancelled);
        }
        let of_documents = held_out.iter().flat_map(|example| example.topics());
        let current = of_stable.current();
        let topics = all_topics(new.classifier.topics().iter().chain(&current).chain(of_documents));
        let labels = Targets::of_topics(&topics, held_out.iter().map(|example| example.topics()));
        let documents: Vec<&Document> = held_out.iter().map(|example| &example.document).collect();
        let by_new = new.classifier.assigned_unless(&documents, is_cancelled).among(new.classifier.topics(), &topics);
        let documents = documents.into_iter().map(|document| (document, document.content_hash())).collect();
        let asked = Asked { source: EvaluationSource::HeldOut, documents, topics, labels, by_new };
        asked.of_stable(stable, of_stable, is_cancelled)
    }

    fn out_of_fold(
        new: Challenger<'_>,
        stable: StableVersion<'_>,
        of_stable: &StableTopics,
        is_cancelled: IsCancelled<'_>,
    ) -> Self {
        let own = new.dataset.topics();
        let topics = all_topics(own.iter().chain(&of_stable.current()));
        let labels = new.dataset.targets().among(own, &topics);
        let by_new = new.out_of_fold.among(own, &topics);
        let documents = new.dataset.documents().into_iter().zip(new.dataset.content_hashes()).collect();
        let asked = Asked { source: EvaluationSource::OutOfFold, documents, topics, labels, by_new };
        asked.of_stable(stable, of_stable, is_cancelled)
    }

    fn check_accuracy(&self, allowed: Probability) -> Check {
        let [of_stable, observed] = [self.comparison.first.accuracy, self.comparison.second.accuracy];
        self.check_drop("accuracy", "accuracy", [of_stable, observed], allowed.get())
    }

    fn check_macro_f1(&self, allowed: Option<Probability>) -> Check {
        let allowed = allowed.map_or_else(|| margin(self.comparison.n_documents), Probability::get);
        self.check_drop("macro_f1", "macro-F1 of the stable version's topics", self.macro_f1, allowed)
    }

    fn check_drop(&self, name: &str, metric: &str, [of_stable, observed]: [f64; 2], allowed: f64) -> Check {
        let (documents, n_new) = (self.documents(), self.n_new);
        Check {
            name: name.to_owned(),
            passed: observed >= of_stable - allowed - ROUNDING,
            observed,
            required: (of_stable - allowed).max(0.0),
            description: format!(
                "{metric} is {observed:.4} on {documents}; the stable version's is {of_stable:.4} ({n_new} of the documents \
                 are new to it), and {allowed:.4} less is allowed; {}",
                self.split()
            ),
        }
    }

    fn check_significance(&self, level: Probability) -> Check {
        let Comparison { n_only_first_right, n_only_second_right, p_value, .. } = self.comparison;
        let (is_worse, level) = (n_only_first_right > n_only_second_right, level.get());
        let passed = !is_worse || p_value >= level;
        let verdict = match (is_worse, passed) {
            (false, _) => "it isn't the worse one".to_owned(),
            (true, true) => format!("that may be chance at the level {level}"),
            (true, false) => format!("it is worse, and hardly by chance at the level {level}"),
        };
        Check {
            name: "significance".to_owned(),
            passed,
            observed: p_value,
            required: level,
            description: format!("on {}, {}: {verdict}", self.documents(), self.split()),
        }
    }

    fn documents(&self) -> String {
        let n = self.comparison.n_documents;
        match self.source {
            EvaluationSource::HeldOut => format!("{n} held-out documents"),
            EvaluationSource::OutOfFold => format!("{n} documents, each as predicted by models that never saw it"),
        }
    }

    /// How the documents are split that only one of the two gets right.
    fn split(&self) -> String {
        let Comparison { n_only_first_right, n_only_second_right, p_value, .. } = self.comparison;
        format!(
            "it alone gets {n_only_second_right} right, the stable version alone {n_only_first_right} (McNemar's exact test, \
             p = {})",
            in_short(p_value)
        )
    }
}

/// Documents, and what the new version says of them; both number topics as `topics` does.
struct Asked<'a> {
    source: EvaluationSource,
    documents: Vec<(&'a Document, ContentHash)>,
    topics: Vec<Topic>,
    labels: Targets,
    by_new: Targets,
}

impl Asked<'_> {
    /// Asks the stable version too, whose topics go by the names that they have now.
    fn of_stable(&self, stable: StableVersion<'_>, of_stable: &StableTopics, is_cancelled: IsCancelled<'_>) -> Contest {
        let Self { source, documents, topics, labels, by_new } = self;
        let classifier = &stable.live.classifier;
        let UnlearnedAnswers { assigned, n_new } = stable.out_of_fold.answers(classifier, documents, is_cancelled);
        let current = of_stable.current();
        let by_stable = assigned.among(&current, topics);
        let kept = all_topics(current.iter().filter(|topic| !of_stable.is_let_go(topic)));
        let kept: Vec<u32> =
            kept.iter().filter_map(|topic| topics.binary_search(topic).ok()).map(|n| n as u32).collect();
        Contest {
            source: *source,
            n_new,
            comparison: Comparison::of(&by_stable, by_new, labels, topics),
            macro_f1: [&by_stable, by_new].map(|assigned| macro_f1(assigned, labels, &kept)),
        }
    }
}

/// How far macro-F1 may fall. Chance alone moves it by about one over the root of the number of documents.
fn margin(n_documents: usize) -> f64 {
    let (many, few) = MACRO_F1_MARGINS;
    (1.0 / (n_documents.max(1) as f64).sqrt()).clamp(many, few)
}

/// A probability with as many digits as tell something.
fn in_short(p: f64) -> String {
    if p < 0.001 { format!("{p:.1e}") } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RenamedTopic;

    fn topics(names: &[&str]) -> Vec<Topic> {
        names.iter().map(|name| Topic::new(name).unwrap()).collect()
    }

    /// Of 20 documents of two topics, which the stable version gets wrong from the `n_stable`th on, and the new one from the
    /// `n_new`th on.
    fn contest(n_stable: u32, n_new: u32) -> Contest {
        let topics = topics(&["a", "b"]);
        let label = |document: u32| document % 2;
        let labels = Targets::new(2, (0..20).map(|document| [label(document)]));
        let right_before = |n: u32| {
            let answer = |document: u32| [if document < n { label(document) } else { 1 - label(document) }];
            Targets::new(2, (0..20).map(answer))
        };
        let (by_stable, by_new) = (right_before(n_stable), right_before(n_new));
        Contest {
            source: EvaluationSource::HeldOut,
            n_new: 3,
            macro_f1: [&by_stable, &by_new].map(|assigned| macro_f1(assigned, &labels, &[0, 1])),
            comparison: Comparison::of(&by_stable, &by_new, &labels, &topics),
        }
    }

    fn share(value: f64) -> Probability {
        Probability::new(value).unwrap()
    }

    #[test]
    fn a_lost_topic_is_named_unless_it_may_go() {
        let known = topics(&["a", "b", "c"]).into_iter().map(|topic| KnownTopic::of(&topic, &[], &[]));
        let known: Vec<KnownTopic> = known.collect();
        let check = |of_new: &[&str], allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            StableTopics::sort(known.clone(), &topics(of_new), &allowed).check()
        };
        let lost = check(&["a", "c"], &[]);
        assert!(!lost.passed && lost.observed == 1.0 && lost.description.ends_with(": b"), "{lost:?}");
        assert!(check(&["a", "b", "c", "d"], &[]).passed);
        let lost = check(&["a", "b"], &["c"]);
        assert!(lost.passed && lost.description.ends_with("as is allowed: c"), "{lost:?}");
        let lost = check(&["a"], &["c"]);
        assert!(!lost.passed && lost.description.contains("no documents: b;"), "{lost:?}");
    }

    /// The stable version has `a`, `b` and `c`; then `a` was called `x`, and `b` became one with it.
    #[test]
    fn a_renamed_topic_is_lost_only_with_its_new_name() {
        let renamed = [("a", "x"), ("b", "x")].map(|(topic, new_topic)| {
            let [topic, new_topic] = [topic, new_topic].map(|name| Topic::new(name).unwrap());
            RenamedTopic { revision: 2, topic, new_topic }
        });
        let check = |of_new: &[&str], allowed: &[&str]| {
            let of_new = topics(of_new);
            let known = topics(&["a", "b", "c"]).iter().map(|topic| KnownTopic::of(topic, &renamed, &of_new)).collect();
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            let sorted = StableTopics::sort(known, &of_new, &allowed);
            (sorted.current(), sorted.check())
        };
        let (current, kept) = check(&["c", "x"], &[]);
        assert_eq!(current, topics(&["x", "x", "c"]));
        assert!(kept.passed && kept.description.ends_with("trained: a (now x), b (now x)"), "{kept:?}");
        let (_, lost) = check(&["c", "d"], &["a"]);
        assert!(
            !lost.passed && lost.observed == 1.0 && lost.description.contains("no documents: b (now x);"),
            "{lost:?}"
        );
        assert!(check(&["c", "d"], &["x"]).1.passed);
    }

    #[test]
    fn chance_is_allowed_for_where_documents_are_few() {
        assert_eq!([4, 100, 400, 1_000_000].map(margin), [0.1, 0.1, 0.05, 0.02]);
    }

    /// 19 of 20 right before, 17 now: 0.95 - 0.1 isn't 0.85 in binary fractions.
    #[test]
    fn a_drop_of_just_what_is_allowed_is_allowed() {
        let check = contest(19, 17).check_accuracy(share(0.1));
        assert!(check.passed && check.observed == 0.85, "{check:?}");
        let check = contest(19, 17).check_accuracy(share(0.09));
        assert!(!check.passed && (check.required - 0.86).abs() < 1e-12, "{check:?}");
        assert!(
            check.description.contains("(3 of the documents are new to it), and 0.0900 less is allowed"),
            "{check:?}"
        );
        assert!(
            check.description.contains("the stable version alone 2 (McNemar's exact test, p = 0.500)"),
            "{check:?}"
        );
        assert!(contest(17, 19).check_accuracy(share(0.0)).passed);
    }

    #[test]
    fn macro_f1_may_fall_by_chance_or_by_what_is_said() {
        assert!(contest(20, 18).check_macro_f1(None).passed);
        assert!(!contest(20, 16).check_macro_f1(None).passed);
        assert!(contest(20, 16).check_macro_f1(Some(share(0.25))).passed);
        assert!(!contest(20, 19).check_macro_f1(Some(share(0.01))).passed);
    }

    /// 2 · ½⁶ = 0.03125 and 2 · ½⁵ = 0.0625.
    #[test]
    fn only_a_worse_version_is_held_back_by_significance() {
        let is_expected = |p: f64| (p - 0.03125).abs() < 1e-12;
        let check = contest(20, 14).check_significance(share(0.05));
        assert!(!check.passed && is_expected(check.observed) && check.required == 0.05, "{check:?}");
        assert!(check.description.contains("the stable version alone 6") && check.description.contains("p = 0.031"));
        assert!(contest(20, 15).check_significance(share(0.05)).passed);
        assert!(contest(20, 14).check_significance(share(0.03)).passed);
        let check = contest(14, 20).check_significance(share(0.05));
        assert!(check.passed && is_expected(check.observed) && check.description.ends_with("it isn't the worse one"));
    }

    #[test]
    fn rules_of_comparing_are_met_where_there_is_nothing_to_compare_with() {
        let labels = Targets::new(2, [[0], [1]]);
        let (probabilities, assigned) = (ndarray::Array2::from_elem((2, 2), 0.5), labels.clone());
        let predictions = crate::evaluation::Predictions { probabilities, assigned };
        let evaluation = Evaluation::of(&predictions, &labels, &topics(&["a", "b"]), true);
        assert_eq!(without_stable(&PromotionPolicy::default(), &evaluation), []);
        let policy = PromotionPolicy {
            lost_topics_allowed: vec!["c".to_owned()],
            max_accuracy_drop: Some(share(0.1)),
            max_macro_f1_drop: Some(share(0.1)),
            significance: Some(share(0.05)),
            ..PromotionPolicy::default()
        };
        let checks = without_stable(&policy, &evaluation);
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["topics_lost", "accuracy", "macro_f1", "significance"]);
        assert!(checks.iter().all(|check| check.passed && check.description.contains("no stable version")));
    }

    #[test]
    fn p_values_are_short() {
        assert_eq!([1.0, 0.0352, 0.001, 0.000_912].map(in_short), ["1.000", "0.035", "0.001", "9.1e-4"]);
    }
}
