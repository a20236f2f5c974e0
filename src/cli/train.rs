//! `topicd train`: labelled documents in, a measured model file out.

use std::error::Error;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ArgGroup;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::inputs::ReadingArgs;
use super::output_file::OutputFile;
use super::promotion_args::PromotionArgs;
use super::remote::CredentialArgs;
use super::stored::{self, DataDirArgs};
use super::words_args::WordsArgs;
use super::{CommandResult, evaluation_table, issue_table, label_ranking, train_remote};
use crate::api::{model_response, pb};
use crate::artifact::NewModelFile;
use crate::classifier::Classifier;
use crate::dataset::issues::{DataIssue, find_issues};
use crate::dataset::{Dataset, Intake, LabelKind};
use crate::decision::Probability;
use crate::evaluation::Evaluation;
use crate::formats::ReadOutcome;
use crate::linear::Balance;
use crate::names::ClassifierName;
use crate::report;
use crate::training::{Progress, Stage, Trained, fraction_of_training, train_and_look_through};
use crate::training_config::{DEFAULT_SELECTIVE_ACCURACY, TrainingConfig};

/// What `topicd train` is told.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("documents").required(true).args(["data", "classifier"]))]
#[command(group = ArgGroup::new("place").required(true).args(["out", "server"]))]
pub struct Args {
    /// Files of labelled documents.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    data: Vec<PathBuf>,

    /// Instead of files: the name of the classifier whose stored documents are trained on (`topicd dataset import`).
    #[arg(long, value_name = "NAME", value_parser = stored::classifier, conflicts_with_all = ["format", "strict"])]
    classifier: Option<ClassifierName>,

    /// Which revision of the stored documents. Left out: the newest.
    #[arg(long, value_name = "NUMBER", conflicts_with = "data")]
    revision: Option<u32>,

    /// With --classifier: the directory that documents are kept in. Left out: $TOPICD_DATA_DIR, or ./topicd-data.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    data_dir: Option<PathBuf>,

    /// Where the model goes; a file that is there is replaced.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Instead of writing a file: the server that trains on its stored documents of --classifier, as http://HOST:PORT or https://HOST:PORT.
    /// The new version answers there if it is good enough.
    #[arg(long, value_name = "URL", conflicts_with_all = ["data", "data_dir"])]
    server: Option<String>,

    #[command(flatten)]
    credentials: CredentialArgs,

    /// Also write a page about the training, to be looked at in a browser: tables, plots, words, and what is wrong with the
    /// documents.
    #[arg(long, value_name = "FILE.html", conflicts_with = "server")]
    report: Option<PathBuf>,

    #[command(flatten)]
    reading: ReadingArgs,

    #[command(flatten)]
    training: TrainingArgs,

    /// Where to write all documents for which another label is more probable than the given one, most suspicious first,
    /// as JSONL; a file that is there is replaced. Those that the report counts have is_suspected.
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    mislabels: Option<PathBuf>,

    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,

    // The last, because its heading holds for what follows.
    #[command(flatten)]
    promotion: PromotionArgs,
}

/// How to train.
#[derive(Debug, clap::Args)]
pub(super) struct TrainingArgs {
    /// The learner's C, from 0.0001 to 10000: small is smooth, large follows each document. Left out: chosen by
    /// cross-validation.
    #[arg(long, value_name = "NUMBER", value_parser = c)]
    c: Option<f32>,

    /// How topics with few documents are made up for.
    #[arg(long, value_enum, default_value_t)]
    balance: BalanceArg,

    /// Keep at most this many terms, those that tell topics apart best (by chi²). Left out: all.
    #[arg(long, value_name = "NUMBER")]
    max_features: Option<NonZeroUsize>,

    /// Make pieces of words (five characters) terms too: better for small corpora and languages whose words take many forms,
    /// slower, and the model is larger.
    #[arg(long)]
    character_ngrams: bool,

    #[command(flatten)]
    pub(super) words: WordsArgs,

    /// The most words of the table that the model may know. Left out: 250,000, which take at most 8 MB with ten topics.
    #[arg(long, value_name = "NUMBER")]
    words_kept: Option<NonZeroUsize>,

    /// The languages of the words that it knows, as codes of two letters: en,de. Left out: all of the table.
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    words_languages: Vec<String>,

    /// Whether documents have one topic or any number. Left out: any number if at least 1 % of them have several.
    #[arg(long, value_enum)]
    label_kind: Option<LabelKindArg>,

    /// The share of right answers that is wanted where a topic is assigned (0 to 1): the model abstains where it is too
    /// unsure for that. 0: it never does.
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_SELECTIVE_ACCURACY, value_parser = share)]
    selective_accuracy: f64,

    /// Keep this share of the documents (0 to 0.5) from training and evaluate the model on them: always the same ones, told by
    /// their text, and with a larger share these and more. Documents whose split says test or train are where it says. 0: hold
    /// out only the former; if there are none, evaluate on out-of-fold predictions.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = held_out_share)]
    held_out_share: f64,

    /// Shuffles folds and documents; the same seed and documents give the same bytes.
    #[arg(long, default_value_t)]
    seed: u64,
}

impl TrainingArgs {
    fn to_config(&self) -> TrainingConfig {
        TrainingConfig {
            c: self.c,
            balance: self.balance.into(),
            max_features: self.max_features,
            character_ngrams: self.character_ngrams,
            words: self.words.are_wanted(),
            words_kept: self.words_kept,
            words_languages: self.words_languages.clone(),
            seed: self.seed,
            label_kind: self.label_kind.map(Into::into),
            selective_accuracy: self.selective_accuracy,
            held_out_share: self.held_out_share,
        }
    }

    /// The same for a server.
    pub(super) fn to_message(&self) -> pb::TrainingConfig {
        model_response::training_config(&self.to_config())
    }
}

/// [`Balance`], as the command line spells it.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum BalanceArg {
    /// Every document counts the same.
    None,
    /// Documents of rare topics count more, by the square root of how rare they are.
    #[default]
    SquareRoot,
    /// Each topic counts as much as all the others: for use where the mix of topics is another than in the data.
    Full,
}

impl From<BalanceArg> for Balance {
    fn from(balance: BalanceArg) -> Self {
        match balance {
            BalanceArg::None => Self::None,
            BalanceArg::SquareRoot => Self::SquareRoot,
            BalanceArg::Full => Self::Full,
        }
    }
}

/// [`LabelKind`], as the command line spells it.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LabelKindArg {
    /// One topic a document.
    Single,
    /// Any number of topics a document, also none.
    Multi,
}

impl From<LabelKindArg> for LabelKind {
    fn from(label_kind: LabelKindArg) -> Self {
        match label_kind {
            LabelKindArg::Single => Self::SingleLabel,
            LabelKindArg::Multi => Self::MultiLabel,
        }
    }
}

/// A number from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().and_then(Probability::new);
    share.map(Probability::get).ok_or_else(|| "it must be a number from 0 to 1".to_owned())
}

fn held_out_share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "it must be a number".to_owned())?;
    let config = TrainingConfig { held_out_share: share, ..TrainingConfig::default() };
    config.check().map(|()| share).map_err(|error| error.to_string())
}

fn c(text: &str) -> Result<f32, String> {
    let c = text.parse().map_err(|_| "it must be a number".to_owned())?;
    let config = TrainingConfig { c: Some(c), ..TrainingConfig::default() };
    config.check().map(|()| c).map_err(|error| error.to_string())
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a PathBuf,
    model_bytes: u64,
    n_terms: usize,
    n_inferred_words: usize,
    meaning_factor: f32,
    c: f32,
    seconds: f64,
    n_skipped_rows: usize,
    intake: Intake,
    n_training_documents: usize,
    n_held_out: usize,
    dataset_hash: &'a str,
    evaluation: &'a Evaluation,
    data_issues: &'a [DataIssue],
}

/// Trains.
///
/// # Errors
/// Files that can't be read or written, and documents that can't be trained on.
pub fn run(args: &Args) -> CommandResult {
    if let (Some(_), Some(file)) = (&args.server, args.training.words.file()) {
        return Err(format!(
            "--words {} is a file here; a server trains with its own table of words, or none",
            file.display()
        )
        .into());
    }
    match (&args.server, &args.classifier, &args.out) {
        (Some(server), Some(classifier), _) => train_remote::run(
            (server, &args.credentials),
            classifier,
            args.revision,
            &args.training,
            &args.promotion,
            args.json,
        ),
        (None, _, Some(out)) => run_here(args, out),
        // Not reached: clap sees to it that one of the two is given whole.
        _ => Err("give --out FILE, or --server URL with --classifier NAME".into()),
    }
}

fn run_here(args: &Args, out: &PathBuf) -> CommandResult {
    let start = Instant::now();
    let config = args.training.to_config();
    config.check()?;
    let table = args.training.words.read()?;
    table.check_languages(&config.words_languages)?;
    let file = NewModelFile::create(out)?;
    let mislabels = args.mislabels.as_deref().map(OutputFile::create).transpose()?;
    let page = args.report.as_deref().map(OutputFile::create).transpose()?;
    let outcome = read(args)?;
    let mut data_issues = find_issues(&outcome.examples);
    let dataset = Dataset::with_options(outcome.examples, config.dataset_options())?;
    let bar = StageBar::new();
    let (Trained { classifier, .. }, findings) = train_and_look_through(&dataset, &config, table.get()?, &bar)?;
    bar.finish();
    data_issues.extend(findings.issues);
    let model_bytes = file.write(&classifier)?;
    if let Some(file) = page {
        let page = report::html(&classifier, &data_issues)?;
        file.replace(|out| out.write_all(page.as_bytes()))?;
    }
    if let Some(file) = mislabels {
        file.replace(|out| label_ranking::write(out, &dataset, &findings.label_ranking))?;
    }
    let provenance = classifier.provenance();
    let report = Report {
        model: out,
        model_bytes,
        n_terms: classifier.n_terms(),
        n_inferred_words: classifier.n_inferred_words(),
        meaning_factor: classifier.known_words().map_or(0.0, |known| known.card().factor),
        c: provenance.c,
        seconds: start.elapsed().as_secs_f64(),
        n_skipped_rows: outcome.n_skipped,
        intake: dataset.intake(),
        n_training_documents: provenance.n_documents,
        n_held_out: provenance.n_held_out,
        dataset_hash: &provenance.dataset_hash,
        evaluation: &provenance.evaluation,
        data_issues: &data_issues,
    };
    let out = &mut io::stdout().lock();
    if args.json { Ok(writeln!(out, "{}", serde_json::to_string(&report)?)?) } else { print(out, &report, &classifier) }
}

/// Reads the documents, from the files or from the store.
fn read(args: &Args) -> Result<ReadOutcome, Box<dyn Error>> {
    let Some(classifier) = &args.classifier else {
        return Ok(args.reading.read_all(&args.data)?);
    };
    stored::runtime()?.block_on(async {
        let store = DataDirArgs::or_default(args.data_dir.clone()).open_existing().await?;
        let examples = stored::read_all(&store, classifier, args.revision).await?;
        Ok(ReadOutcome { examples, n_skipped: 0 })
    })
}

fn print(out: &mut impl Write, report: &Report<'_>, classifier: &Classifier) -> CommandResult {
    let Report { model, model_bytes, n_terms, c, seconds, intake, evaluation, data_issues, .. } = report;
    writeln!(out, "{}\n", evaluation_table::heading(evaluation.source))?;
    evaluation_table::write(out, evaluation, classifier.label_kind())?;
    writeln!(out)?;
    issue_table::write(out, data_issues)?;
    let Intake { n_without_topic, n_several_topics, .. } = intake;
    for (n, what) in [
        (n_several_topics, "given several topics, of which the first by name counts"),
        (n_without_topic, "left out because they have no topic"),
    ] {
        if *n > 0 {
            writeln!(out, "{n} documents were {what}.")?;
        }
    }
    writeln!(out)?;
    let (path, megabytes) = (model.display(), *model_bytes as f64 / 1e6);
    writeln!(out, "Trained in {seconds:.1} s with C = {c}. Wrote {path}: {n_terms} terms, {megabytes:.1} MB.")?;
    if let Some(known) = classifier.known_words() {
        let (n_inferred, card) = (report.n_inferred_words, known.card());
        writeln!(
            out,
            "It knows {n_inferred} words more by what they mean (table {}, {}; meanings count {}).",
            card.table, card.licence, card.factor
        )?;
    }
    Ok(())
}

/// A progress bar on a terminal; nothing elsewhere.
pub(super) struct StageBar(ProgressBar);

impl StageBar {
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:30} {msg} ({elapsed})");
        let bar = ProgressBar::new(100).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Shows the share that is done, from 0 to 1.
    pub(super) fn show(&self, fraction: f64, what: &'static str) {
        self.0.set_position((100.0 * fraction) as u64);
        self.0.set_message(what);
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for StageBar {
    fn report(&self, stage: Stage, fraction: f64) {
        self.show(fraction_of_training(stage, fraction), stage.name());
    }
}
