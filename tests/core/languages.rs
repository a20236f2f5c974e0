//! Texts that aren't a usual English article: each gets a sensible answer, from the bundled English model and from one
//! that was trained on its language.

use std::sync::LazyLock;

use topicd::abstention::{AbstainReason, Decision};
use topicd::artifact;
use topicd::classifier::{Classification, Classifier, ClassifyOptions, ClassifyScratch};
use topicd::dataset::Dataset;
use topicd::document::{Document, LabeledDocument, Topic};
use topicd::explanation::Explain;
use topicd::text::Field;
use topicd::training::{Silent, train};
use topicd::training_config::TrainingConfig;

static BUNDLED: LazyLock<Classifier> = LazyLock::new(|| artifact::bundled().unwrap().classifier);

fn classify(classifier: &Classifier, title: &str, text: &str) -> Classification {
    let options = ClassifyOptions { explain: Explain::TopTopic, ..ClassifyOptions::default() };
    classifier.classify(&Document::new(title, text).unwrap(), &options, &mut ClassifyScratch::default())
}

const THAI: &str = "รัฐมนตรีต่างประเทศของทั้งสองประเทศลงนามในสนธิสัญญาสันติภาพหลังการเจรจาสามวันในกรุงเทพฯ";
const CHINESE: &str = "两国外交部长在三天的会谈之后签署了和平条约，联合国秘书长对此表示欢迎。";
const ARABIC: &str = "وقّع وزيرا خارجية البلدين معاهدة سلام بعد ثلاثة أيام من المحادثات برعاية الأمم المتحدة في جنيف.";
const GERMAN: &str = "Die Außenminister der beiden Länder haben nach dreitägigen Gesprächen unter Vermittlung der Vereinten \
                      Nationen einen Friedensvertrag unterzeichnet, wie ihre Sprecher am Donnerstag mitteilten.";

#[test]
fn a_language_that_the_model_never_saw_is_told() {
    assert_eq!(BUNDLED.abstention().languages, ["eng"]);
    for text in [THAI, CHINESE, ARABIC, GERMAN] {
        let answer = classify(&BUNDLED, "", text);
        assert_eq!(answer.decision, Decision::Abstained(AbstainReason::OtherLanguage), "{text}");
        assert!(answer.stats.n_tokens > 5 && answer.topics.len() == 10 && !answer.topics[0].assigned, "{text}");
    }
    // A German name in an English sentence is no German sentence.
    let english =
        "The foreign minister met Bundeskanzler Friedrich Merz in Schloss Bellevue on Thursday and signed a treaty.";
    assert_eq!(classify(&BUNDLED, "", english).decision, Decision::Assigned);
}

#[test]
fn texts_that_are_no_texts_get_a_reason() {
    let reason = |text: &str| match classify(&BUNDLED, "", text).decision {
        Decision::Abstained(reason) => Some(reason),
        Decision::Assigned => None,
    };
    assert_eq!(reason("🎉🎉 👩‍👩‍👧 🇨🇭"), Some(AbstainReason::NoTokens));
    assert_eq!(reason(&"x".repeat(1 << 20)), Some(AbstainReason::FewKnownTokens));
    assert_eq!(reason("Qwxyt zzkrp vvblorf ggnash. Trrpq hhkl wwzzt!"), Some(AbstainReason::FewKnownTokens));
}

/// One word a hundred thousand times says little more than once: it is counted, and the row has length 1 all the same.
#[test]
fn a_megabyte_of_one_word_is_an_answer_like_any_other() {
    let answer = classify(&BUNDLED, "", &"football ".repeat((1 << 20) / 9));
    assert_eq!((answer.stats.n_tokens, answer.stats.n_known_tokens), ((1 << 20) / 9, (1 << 20) / 9));
    assert_eq!(BUNDLED.topics()[answer.topics[0].topic].as_str(), "sports");
    let explained = &answer.explanations[0].terms;
    assert!(explained.iter().all(|term| term.contribution.is_finite() && term.n_occurrences > 100_000));
}

/// Two topics of made-up reports in five languages, twelve of each: enough words to tell the topics apart in all of them.
fn several_languages() -> Classifier {
    let parts = [
        ("รัฐมนตรี ลงนาม สนธิสัญญา สันติภาพ", "ทีม ฟุตบอล ชนะ การแข่งขัน นัดชิง"),
        ("外交部长签署和平条约", "足球队赢得决赛冠军"),
        ("外務大臣が平和条約に署名した", "サッカーチームが決勝で優勝した"),
        ("وقّع الوزير معاهدة السلام", "فاز فريق كرة القدم بالمباراة النهائية"),
        ("Außenminister unterzeichnen den Friedensvertrag", "Die Fußballmannschaft gewann das Endspiel"),
    ];
    let example = |(text, topic): (&str, &str), i: usize| {
        let document = Document::new("", format!("{text} {i}")).unwrap();
        LabeledDocument::new(document, vec![Topic::new(topic).unwrap()])
    };
    let examples = parts.iter().flat_map(|&(diplomacy, sports)| {
        (0..12).flat_map(move |i| [example((diplomacy, "diplomacy"), i), example((sports, "sports"), i)])
    });
    train(&Dataset::new(examples).unwrap(), &TrainingConfig::default(), None, &Silent).unwrap().classifier
}

#[test]
fn any_script_is_learned_and_explained_by_the_words_where_they_stand() {
    let classifier = several_languages();
    let cases = [
        ("สันติภาพ", "ข่าว: สนธิสัญญาสันติภาพ", "diplomacy"),
        ("", "中国足球队赢得比赛", "sports"),
        ("平和条約", "署名", "diplomacy"),
        ("", "فريق كرة القدم", "sports"),
        ("FRIEDENSVERTRAG", "unterzeichnen", "diplomacy"),
    ];
    for (title, text, topic) in cases {
        let answer = classify(&classifier, title, text);
        assert_eq!(classifier.topics()[answer.topics[0].topic].as_str(), topic, "{title} {text}: {:?}", answer.topics);
        assert!(answer.stats.n_known_tokens > 0, "{title} {text}");
        let spans =
            answer.explanations[0].terms.iter().flat_map(|term| term.spans.iter().map(move |span| (term, span)));
        let mut n_spans = 0;
        for (term, span) in spans {
            let field = if span.field == Field::Title { title } else { text };
            let shown = field[span.start..span.end].to_lowercase();
            let mut words = term.term.split(' ');
            assert!(words.all(|word| shown.contains(word)), "{shown:?} isn't {:?}", term.term);
            n_spans += 1;
        }
        assert!(n_spans > 0, "{title} {text}");
    }
}
