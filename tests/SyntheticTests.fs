module Peft.Tests.SyntheticTests

open System
open System.Collections.Generic
open System.IO
open Expecto
open Peft
open Peft.Synthetic

/// The first rows of every task, made once.
let internal rows =
    lazy
        (SyntheticTasks.suite
         |> List.map (fun task -> task, SyntheticTask.distinct task DataSets.seed 15000)
         |> dict)

let private words (text: string) =
    text.Split([| ' '; '\n'; '.'; ','; '?'; '!'; ':'; '\'' |], StringSplitOptions.RemoveEmptyEntries)

let private forTasks (law: SyntheticTask -> unit) () = SyntheticTasks.suite |> List.iter law

let private chance =
    testList
        "Chance"
        [
            testCase "a seed gives the numbers that SplitMix64 is published with"
            <| fun () ->
                let source = Chance 1234567UL
                let found = List.init 3 (fun _ -> source.Next())

                Expect.equal
                    found
                    [ 6457827717110365317UL; 3203168211198807973UL; 9817491932198370423UL ]
                    "the reference values"

            testProperty "a draw below a bound stays below it"
            <| fun (seed: uint64) (bound: uint16) ->
                let bound = int bound + 1
                let drawn = Chance(seed).Below bound
                drawn >= 0 && drawn < bound

            testProperty "shuffling keeps the items"
            <| fun (seed: uint64) (items: int list) ->
                List.sort items = (Chance(seed).Shuffle(Array.ofList items) |> List.ofArray |> List.sort)

            testCase "streams of one seed differ"
            <| fun () -> Expect.notEqual ((Chance.ofRow "a" 1 0).Next()) ((Chance.ofRow "b" 1 0).Next()) "by their name"
        ]

let private grammar =
    testList
        "Grammar"
        [
            testCase "nouns have their plurals"
            <| fun () ->
                let pairs =
                    [
                        "box", "boxes"
                        "child", "children"
                        "city", "cities"
                        "toy", "toys"
                        "old wolf", "old wolves"
                        "sheep", "sheep"
                        "watch", "watches"
                    ]

                for singular, plural in pairs do
                    Expect.equal (Inflect.plural singular) plural singular

            testCase "verbs have their forms"
            <| fun () ->
                for verb, third, past, participle, ing in
                    [
                        "take a walk", "takes a walk", "took a walk", "taken a walk", "taking a walk"
                        "stop", "stops", "stopped", "stopped", "stopping"
                        "carry", "carries", "carried", "carried", "carrying"
                        "see", "sees", "saw", "seen", "seeing"
                        "push", "pushes", "pushed", "pushed", "pushing"
                        "play chess", "plays chess", "played chess", "played chess", "playing chess"
                    ] do
                    Expect.equal
                        (Inflect.third verb, Inflect.past verb, Inflect.participle verb, Inflect.ing verb)
                        (third, past, participle, ing)
                        verb

            testCase "the article goes by sound"
            <| fun () ->
                Expect.equal
                    (Inflect.finish "a(n) apple, a(n) pear, a(n) hour, a(n) ukulele. a(n) umbrella")
                    "An apple, a pear, an hour, a ukulele. An umbrella"
                    "also after a full stop"

            testCase "numbers read as in English"
            <| fun () ->
                for value, text in
                    [
                        0, "zero"
                        13, "thirteen"
                        42, "forty-two"
                        305, "three hundred and five"
                        1200, "one thousand two hundred"
                        70001, "seventy thousand and one"
                    ] do
                    Expect.equal (Inflect.number value) text text

            testCase "a slot that is kept repeats its word"
            <| fun () ->
                let text =
                    Template.expand Lexicon.rules [] (Chance 5UL) "{pet=animal} {pet} {pet:s}"

                let parts = text.Split ' '
                Expect.equal (parts[0].ToLowerInvariant()) parts[1] "the same animal"
                Expect.equal (Inflect.plural parts[1]) parts[2] "and its plural"
        ]

let private laws =
    testList
        "Rows"
        [
            testCase "15,000 distinct inputs exist for every task"
            <| forTasks (fun task ->
                let found = rows.Value[task]
                Expect.equal found.Length 15000 "as many as asked for"
                Expect.equal (found |> Array.distinctBy _.Input).Length 15000 "all different")

            testCase "a row is decided by its seed and its place"
            <| forTasks (fun task ->
                for index in 0..49 do
                    Expect.equal (task.Row 3 index) (task.Row 3 index) "twice the same"

                let some seed =
                    [ for index in 0..49 -> task.Row seed index ]

                Expect.notEqual (some 3) (some 4) "another seed, other rows")

            testCase "no slot, article or tab is left open"
            <| forTasks (fun task ->
                for row in rows.Value[task] do
                    for text in [ row.Input; row.Target ] do
                        if
                            text.IndexOfAny [| '{'; '}'; '\t' |] >= 0
                            || text.Contains "a(n)"
                            || text.Contains "  "
                            || text.Contains ",,"
                            || text <> text.Trim()
                        then
                            failtest $"this text is not finished: {text}")

            testCase "labels are the task's and balanced"
            <| fun () ->
                let share task label =
                    let found: Example[] = rows.Value[task]

                    float (found |> Array.filter (fun row -> row.Target = label)).Length
                    / float found.Length

                for task in (SyntheticTasks.suite |> List.filter (fun task -> task.Labels <> [||])) do
                    Expect.equal
                        (rows.Value[task] |> Array.map _.Target |> Array.distinct |> Array.sort)
                        (task.Labels |> Array.sort)
                        "all labels occur and no other"

                for label in Topic.labels do
                    Expect.floatClose { absolute = 0.01; relative = 0.0 } (share Topic.task label) 0.25 label

                Expect.floatClose
                    { absolute = 0.02; relative = 0.0 }
                    (share Acceptability.task "acceptable")
                    Acceptability.acceptableShare
                    "acceptable"

            testCase "one keyword is not always enough for a topic"
            <| fun () ->
                // The word of each text that told most about the topic in a hundred other texts.
                let counts = Dictionary<string, int[]>()
                let place label = Array.IndexOf(Topic.labels, label)

                for row in rows.Value[Topic.task][..99] do
                    for word in words row.Input do
                        if not (counts.ContainsKey word) then
                            counts[word] <- Array.zeroCreate 4

                        counts[word][place row.Target] <- counts[word][place row.Target] + 1

                let guess (row: Example) =
                    let known = words row.Input |> Array.filter counts.ContainsKey

                    let purest =
                        known
                        |> Array.maxBy (fun word ->
                            float (Array.max counts[word] + 1) / float (Array.sum counts[word] + 2))

                    Array.IndexOf(counts[purest], Array.max counts[purest])

                let test = rows.Value[Topic.task][1000..2999]
                let right = test |> Array.filter (fun row -> guess row = place row.Target)

                Expect.isLessThan
                    (float right.Length / float test.Length)
                    0.75
                    "keywords of a hundred rows leave errors"

            testCase "every unacceptable sentence differs from its acceptable source by one rule"
            <| fun () ->
                for index in 0..14999 do
                    let pair = Acceptability.minimalPair DataSets.seed index
                    let row = Acceptability.row DataSets.seed index

                    if pair.Good = pair.Bad then
                        failtest $"both sides read: {pair.Good} ({pair.Rule})"

                    let expected = if row.Target = "acceptable" then pair.Good else pair.Bad
                    Expect.equal row.Input expected "the row is a side of its pair"

            testCase "no sentence is acceptable in one row and unacceptable in another"
            <| fun () ->
                let pairs =
                    [ for index in 0..14999 -> Acceptability.minimalPair DataSets.seed index ]

                let good = HashSet(pairs |> List.map _.Good)
                let both = pairs |> List.filter (fun pair -> good.Contains pair.Bad)
                Expect.isEmpty both "the bad side is nowhere a good one"

            testCase "every slot value is said in its text"
            <| fun () ->
                let says (text: string) (wordings: string[]) =
                    wordings
                    |> Array.exists (fun wording -> text.Contains(wording, StringComparison.OrdinalIgnoreCase))

                let among (values: (string * string[])[]) value =
                    values |> Array.find (fst >> (=) value) |> snd

                for index in 0..14999 do
                    let museum = Attributes.museum DataSets.seed index
                    let text = (Attributes.row DataSets.seed index).Target

                    let wanted =
                        [
                            Some [| museum.Name |]
                            Some [| museum.Kind |]
                            museum.Near |> Option.map Array.singleton
                            museum.Price |> Option.map (among Museums.prices)
                            museum.Rating |> Option.map (among Museums.ratings)
                            museum.Area |> Option.map (among Museums.areas)
                            museum.Children |> Option.map (among Museums.children)
                        ]
                        |> List.choose id

                    for wordings in wanted do
                        if not (says text wordings) then
                            failtest $"none of %A{wordings} is in: {text}"

            testCase "a summary names nobody who is not in its dialogue"
            <| fun () ->
                let names = HashSet(Array.append Lexicon.girls Lexicon.boys)

                for row in rows.Value[Dialogue.task] do
                    let known = HashSet(words row.Input)

                    for word in words row.Target do
                        if names.Contains word && not (known.Contains word) then
                            failtest $"{word} is not in: {row.Input}"

            testCase "a dialogue has three to seven turns of two speakers, and a summary in the third person"
            <| fun () ->
                for row in rows.Value[Dialogue.task] do
                    let turns = row.Input.Split '\n'

                    if turns.Length < 3 || turns.Length > 7 then
                        failtest $"{turns.Length} turns: {row.Input}"

                    Expect.equal
                        (turns |> Array.map (fun turn -> turn.Split(": ")[0]) |> Array.distinct).Length
                        2
                        row.Input

                    if
                        words row.Target
                        |> Array.exists (fun word -> word = "I" || word = "my" || word = "me" || word = "you")
                    then
                        failtest $"not in the third person: {row.Target}"
        ]

let private dataSets =
    testList
        "DataSets"
        [
            testCase "the committed files are what the generators write"
            <| fun () ->
                Support.inTemporaryFolder (fun folder ->
                    DataSets.write folder DataSets.seed DataSets.sizes

                    for task in SyntheticTasks.suite do
                        for split in [ "train"; "validation"; "test" ] do
                            let file = Path.Combine(task.Name, split + ".jsonl")
                            let written = File.ReadAllBytes(Path.Combine(folder, file))
                            let committed = File.ReadAllBytes(Path.Combine(Support.root, "data", file))

                            Expect.isTrue
                                (written.AsSpan().SequenceEqual(ReadOnlySpan committed))
                                $"{file} is equal byte for byte")

            testCase "the table of data/README.md is what the statistics say"
            <| fun () ->
                let readme = File.ReadAllText(Path.Combine(Support.root, "data", "README.md"))
                Expect.stringContains readme (DataSets.report DataSets.seed DataSets.sizes) "make-data.fsx prints it"

            testCase "splits share no input"
            <| forTasks (fun task ->
                let found =
                    DataSets.splits
                        task
                        5
                        {
                            Train = 300
                            Validation = 100
                            Test = 100
                        }

                let all =
                    Array.concat [ found.Train; found.Validation; found.Test ] |> Array.map _.Input

                Expect.equal (Array.distinct all).Length 500 "all different")

            testCase "a larger training split keeps the test rows"
            <| fun () ->
                let small =
                    DataSets.splits
                        Topic.task
                        5
                        {
                            Train = 10
                            Validation = 20
                            Test = 30
                        }

                let large =
                    DataSets.splits
                        Topic.task
                        5
                        {
                            Train = 100
                            Validation = 20
                            Test = 30
                        }

                Expect.equal
                    (small.Test, small.Validation, small.Train)
                    (large.Test, large.Validation, large.Train[..9])
                    "it grows at its end"

            testCase "statistics find duplicates and overlap"
            <| fun () ->
                let row input target = { Input = input; Target = target }

                let found =
                    DataSets.statistics [| row "a b" "x" |] [| row "a b" "x"; row "c" "x"; row "c" "y y" |]

                Expect.equal (found.Rows, found.Duplicates, found.Overlap, found.Targets) (3, 1, 1, 2) "one of each"
                Expect.floatClose Accuracy.high found.Majority (2.0 / 3.0) "the share of x"
        ]

[<Tests>]
let tests = testList "Synthetic" [ chance; grammar; laws; dataSets ]
