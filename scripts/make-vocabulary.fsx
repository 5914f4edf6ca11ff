// Trains the vocabulary data/models/tiny/spiece.model: SentencePiece's unigram model in T5's layout.
//
//     dotnet build -c Release
//     dotnet fsi scripts/make-vocabulary.fsx <folder with the four novels>
//
// It needs `spm_train` (Debian: sentencepiece 0.1.97). data/models/tiny/README.md names the novels.
#load "prelude.fsx"

open System
open System.Diagnostics
open System.IO
open Peft.Synthetic

let megabyte = 1 <<< 20
let target = Path.Combine(__SOURCE_DIRECTORY__, "..", "data", "models", "tiny")
let work = Directory.CreateTempSubdirectory("vocabulary").FullName

/// Lines until they hold about `size` characters.
let upTo (size: int) (lines: string seq) : string seq =
    lines
    |> Seq.scan (fun (total, _) line -> total + line.Length + 1, line) (0, "")
    |> Seq.skip 1
    |> Seq.takeWhile (fun (total, _) -> total <= size)
    |> Seq.map snd

/// The paragraphs of a Project Gutenberg text, without what stands before its start and after its end.
let novel (file: string) : string seq =
    let lines = File.ReadAllLines(Path.Combine(fsi.CommandLineArgs[1], file))

    let mark (text: string) =
        lines |> Array.findIndex _.StartsWith(text)

    String.Join("\n", lines[mark "*** START OF" + 1 .. mark "*** END OF" - 1]).Split "\n\n"
    |> Seq.map _.Replace('\n', ' ').Trim()
    |> Seq.filter ((<>) "")

/// Rows like the benchmark's, of another seed than the embedded sets.
let rowsOf (task: SyntheticTask) =
    Seq.initInfinite (task.Row 40304)
    |> Seq.collect (fun row -> Seq.append (row.Input.Split '\n') [ row.Target ])

/// The labels of the embedded tasks, each so often that it becomes one piece: an answer is then right or wrong as a whole. The
/// trainer takes pieces from what occurs in two different words at least, hence the marks behind them.
let labels =
    let further =
        "polite rude bad mixed good person place time number reason thing yes no unclear alarm calendar call message translate "
        + "recipe joke news traffic taxi hotel flight restaurant shopping payment balance volume light heating repair"

    SyntheticTasks.benchmark
    |> List.collect (_.Labels >> List.ofArray)
    |> List.append (List.ofArray (further.Split ' '))
    |> Seq.distinct
    |> Seq.collect (fun label -> [ label; $"{label}."; $"{label}," ])
    |> Seq.collect (Seq.replicate 1000)

let text =
    Seq.concat
        [
            Corpus.lines 40301 |> upTo (2 * megabyte)
            Instructions.examples 40302
            |> Seq.collect (fun (input, answer) -> [ input; answer ])
            |> upTo megabyte
            SyntheticTasks.benchmark |> Seq.collect (rowsOf >> upTo (megabyte / 2))
            labels
            [ "1342-0.txt"; "1661.txt"; "2701-0.txt"; "98-0.txt" ] |> Seq.collect novel
        ]

/// Always in the vocabulary: printable ASCII, common accents, currency, dashes and quotation marks.
let required =
    String([| ' ' .. '~' |])
    + "£€ÀÁÂÄÅÆÇÈÉÊËÍÎÏÑÓÔÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûüýœ–—‘’“”…°"

File.WriteAllText(Path.Combine(work, "text.txt"), String.Join("\n", text) + "\n")
File.WriteAllText(Path.Combine(work, "required.txt"), required.Trim())
Directory.CreateDirectory target |> ignore

let flags =
    "--input=text.txt --model_prefix=spiece --model_type=unigram --vocab_size=3996 --pad_id=0 --eos_id=1 --unk_id=2 "
    + "--bos_id=-1 --normalization_rule_name=nmt_nfkc --character_coverage=0.9999 --required_chars_file=required.txt "
    + "--max_sentence_length=16384 --num_threads=2"

let training =
    Process.Start(ProcessStartInfo("spm_train", flags, WorkingDirectory = work))
    |> Option.ofObj
    |> Option.get

training.WaitForExit()

if training.ExitCode <> 0 then
    failwith $"spm_train ended with code {training.ExitCode}; its text is {work}/text.txt"

File.Copy(Path.Combine(work, "spiece.model"), Path.Combine(target, "spiece.model"), overwrite = true)
printfn $"wrote {target}/spiece.model from {work}/text.txt"
