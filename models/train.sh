#!/bin/sh
# Trains models/news.topicd, the bundled model. Usage: models/train.sh CORPORA [OUT]
#
# CORPORA is a folder with wcep_topics/ and sib200_16_languages/, each with train.jsonl.gz and test.jsonl.gz of
# {"id", "title", "text", "topics", "lang"?}. The same corpora and the same way of training give the same bytes (models/README.md).
set -eu
corpora=$1
here=$(cd "$(dirname "$0")" && pwd)
out=${2:-$here/news.topicd}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The English sentences of SIB-200, with our names for its topics; travel and geography have none.
for split in train test; do
    gunzip -c "$corpora/sib200_16_languages/$split.jsonl.gz" | grep '"lang": "eng_Latn"' |
        sed -e 's|\["science/technology"\]|["science_tech"]|' -e 's|\["health"\]|["health_environment"]|' \
            -e 's|\["entertainment"\]|["arts_culture"]|' |
        grep -e '"science_tech"' -e '"politics"' -e '"sports"' -e '"health_environment"' -e '"arts_culture"' \
            >"$work/sib200_english_$split.jsonl"
done

topicd() { cargo run --quiet --release --manifest-path "${here%/*}/Cargo.toml" -- "$@"; }
topicd train --data "$corpora/wcep_topics/train.jsonl.gz" "$work/sib200_english_train.jsonl" \
    --balance full --c 0.125 --max-features 108000 --out "$work/news.topicd"
echo
echo "On the test split of wcep_topics:"
topicd evaluate --model "$work/news.topicd" --data "$corpora/wcep_topics/test.jsonl.gz"
echo
echo "On the English test sentences of SIB-200:"
topicd evaluate --model "$work/news.topicd" --data "$work/sib200_english_test.jsonl"
# Last, because topicd is built anew when its bundled model has changed.
mv "$work/news.topicd" "$out"
