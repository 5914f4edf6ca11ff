namespace Peft

open System
open System.Globalization
open System.IO
open System.Threading
open Argu
open TorchSharp

/// `peft pretrain`: a small T5 from random weights, or a checkpoint that goes on.
[<RequireQualifiedAccess>]
module PretrainCommand =
    let private headWidth = 32

    /// The embedded model's shape, where nothing else is asked for.
    let private dimensions (options: ParseResults<PretrainOption>) (tokenizer: Tokenizer) : Dimensions =
        let width = options.GetResult(PretrainOption.Width, 128)

        if width < headWidth || width % headWidth <> 0 then
            userError $"--width is {width}; it is a multiple of {headWidth}."

        {
            Vocabulary = tokenizer.VocabularySize
            Width = width
            HeadWidth = headWidth
            FeedForward = options.GetResult(PretrainOption.Feed_Forward, 256)
            Layers = options.GetResult(PretrainOption.Layers, 4)
            PadId = tokenizer.PadId
            EosId = tokenizer.EosId
        }

    /// What one phase draws its rows from: text beside copying, then instructions beside both.
    let private mixtures (options: ParseResults<PretrainOption>) (tokenizer: Tokenizer) (seed: int) =
        let length = options.GetResult(PretrainOption.Length, 128)
        let corpus = PretrainingText.corpus tokenizer seed length
        let copying = PretrainingText.copying tokenizer seed length
        let instructions = PretrainingText.instructions tokenizer seed length

        let texts, copiedTexts =
            match options.GetResult(PretrainOption.Text, []) with
            | [] -> [], []
            | files ->
                let texts = PretrainingText.read tokenizer length files

                [ PretrainingText.files tokenizer seed texts ],
                [ PretrainingText.copyingFiles tokenizer seed length texts ]

        let weighted weight = List.map (fun source -> source, weight)

        (copying, 0.25) :: (corpus, 0.35) :: weighted 0.2 copiedTexts
        @ weighted 0.2 texts,
        (copying, 0.04) :: (corpus, 0.1) :: weighted 0.04 copiedTexts
        @ weighted 0.1 texts
        @ [ instructions, 0.72 ]

    /// Span corruption of generated text and files with much copying, then mostly instructions.
    let private plan (options: ParseResults<PretrainOption>) (tokenizer: Tokenizer) : Pretraining =
        let seed = options.GetResult(PretrainOption.Seed, 1)
        let first, second = mixtures options tokenizer seed

        {
            Start =
                match options.TryGetResult PretrainOption.Start with
                | Some folder -> Checkpoint.fingerprint folder
                | None -> ""
            Phases =
                [
                    {
                        Steps = options.GetResult(PretrainOption.Steps, 1500)
                        Mixture = first
                    }
                    {
                        Steps = options.GetResult(PretrainOption.Instruction_Steps, 9500)
                        Mixture = second
                    }
                ]
            BatchSize = options.GetResult(PretrainOption.Batch_Size, 64)
            Seed = seed
            PeakRate = options.GetResult(PretrainOption.Rate, 2e-3)
            WarmupSteps = options.GetResult(PretrainOption.Warmup_Steps, 400)
            CooldownShare = options.GetResult(PretrainOption.Cooldown, 0.15)
            WeightDecay = 0.01
            ClipNorm = 1.0
            Every = options.GetResult(PretrainOption.Every, 500)
        }

    let private number (format: string) (value: float) =
        value.ToString(format, CultureInfo.InvariantCulture)

    let private tell (report: PretrainingReport) =
        match report with
        | PretrainingStep(step, steps, loss, speed, left) when step % 50 = 0 || step = 1 ->
            printfn
                $"""step {step}/{steps}: loss {number "F4" loss}, {number "F0" speed} tokens/s, about {Progress.duration left} left"""
        | PretrainingStep _ -> ()
        | PretrainingValidation(step, losses, samples) ->
            let told =
                losses
                |> List.map (fun (name, loss) -> $"""{name} {number "F4" loss}""")
                |> String.concat ", "

            printfn $"validation after step {step}: {told}"

            for input, target, answer in samples do
                printfn $"  {input}\n    wanted: {target}\n    wrote:  {answer}"

    let private random (family: string) (dimensions: Dimensions) precision (device: torch.Device) (seed: int) =
        Checkpoint.fresh family dimensions seed
        |> Model.withPrecision precision
        |> Model.mapLeaves (fun _ leaf -> Frozen(leaf.Value.``to`` device))

    let private vocabularyFile (options: ParseResults<PretrainOption>) =
        options.TryGetResult PretrainOption.Vocabulary
        |> Option.defaultWith (fun () ->
            let folder =
                options.TryGetResult PretrainOption.Start
                |> Option.defaultWith Embedded.modelFolder

            Path.Combine(folder, "spiece.model"))

    /// The weights that training starts from.
    let private firstWeights (options: ParseResults<PretrainOption>) (tokenizer: Tokenizer) precision device seed =
        match options.TryGetResult PretrainOption.Start with
        | None ->
            random (options.GetResult(PretrainOption.Family, "t5")) (dimensions options tokenizer) precision device seed
        | Some folder ->
            let model = Checkpoint.load device torch.float32 folder

            if tokenizer.VocabularySize > model.Shape.Vocabulary then
                userError
                    $"the vocabulary has {tokenizer.VocabularySize} pieces, but the model in {folder} knows {model.Shape.Vocabulary}. Take the model's own spiece.model."

            Model.withPrecision precision model

    let private check (options: ParseResults<PretrainOption>) =
        let least name bound (value: int option) =
            match value with
            | Some value when value < bound -> userError $"{name} is {value}; the least is {bound}."
            | _ -> ()

        least "--steps" 0 (options.TryGetResult PretrainOption.Steps)
        least "--instruction-steps" 0 (options.TryGetResult PretrainOption.Instruction_Steps)
        least "--batch-size" 1 (options.TryGetResult PretrainOption.Batch_Size)
        least "--length" 8 (options.TryGetResult PretrainOption.Length)
        least "--warmup-steps" 1 (options.TryGetResult PretrainOption.Warmup_Steps)
        least "--every" 1 (options.TryGetResult PretrainOption.Every)
        least "--feed-forward" 1 (options.TryGetResult PretrainOption.Feed_Forward)
        least "--layers" 1 (options.TryGetResult PretrainOption.Layers)

        match options.TryGetResult PretrainOption.Rate with
        | Some rate when not (rate > 0.0 && Double.IsFinite rate) ->
            userError $"--rate is {rate}; it is a number above 0."
        | _ -> ()

    /// What `--check` repeats.
    let private checkedSteps = 200

    /// Another processor adds in another order; its losses are this near, relatively.
    let private elsewhere = 1e-2

    let private recordPath () =
        Path.Combine(Embedded.modelFolder (), "first-losses.csv")

    /// The first losses of the standard plan on the repository's own text, in float32 and on one thread.
    let private firstLosses (options: ParseResults<PretrainOption>) (stop: CancellationToken) : float list =
        let tokenizer = Tokenizer.Load(vocabularyFile options)
        let plan = plan options tokenizer
        // Sums of products are split by thread, and the bits of a loss depend on how.
        torch.set_num_threads 1
        use enough = CancellationTokenSource.CreateLinkedTokenSource stop
        let losses = ResizeArray()

        let keep report =
            tell report

            match report with
            | PretrainingStep(step, _, loss, _, _) ->
                losses.Add loss

                if step = checkedSteps then
                    enough.Cancel()
            | PretrainingValidation _ -> ()

        let start =
            random "t5" (dimensions options tokenizer) torch.float32 torch.CPU plan.Seed

        Files.inTemporary "check" (fun folder ->
            try
                Pretraining.run plan start tokenizer torch.CPU folder keep enough.Token
                |> ignore
            with :? OperationCanceledException when not stop.IsCancellationRequested ->
                ())

        List.ofSeq losses

    let private recordText (losses: float list) =
        let row index (loss: float) = $"""{index + 1},{number "R" loss}"""

        $"# {BenchMachine.processor ()}\nstep,loss\n"
        + (losses |> List.mapi row |> String.concat "\n")
        + "\n"

    let private readRecord (path: string) : string * float list =
        if not (File.Exists path) then
            userError $"{path} is missing: it holds the recorded losses."

        let lines = File.ReadAllLines path

        try
            let losses =
                [
                    for line in Array.skip 2 lines -> Double.Parse(line.Split(',')[1], CultureInfo.InvariantCulture)
                ]

            if losses.Length <> checkedSteps then
                userError $"{path} holds {losses.Length} losses instead of {checkedSteps}."

            lines[0].TrimStart('#').Trim(), losses
        with
        | :? FormatException
        | :? IndexOutOfRangeException
        | :? ArgumentException -> userError $"{path} is damaged: take it from the repository again."

    /// Repeats the first steps of the standard plan on the repository's own text and compares the losses with those that
    /// stand beside the embedded model: bit for bit on the recorded kind of processor, near them elsewhere.
    let private repeatFirstSteps (options: ParseResults<PretrainOption>) (stop: CancellationToken) : int =
        let path = recordPath ()

        let others =
            options.GetAllResults()
            |> List.filter (function
                | PretrainOption.Check
                | PretrainOption.Record -> false
                | _ -> true)

        if not others.IsEmpty then
            userError "--check and --record repeat the standard plan: give no other option."

        if options.Contains PretrainOption.Record then
            Files.writeAtomically path (recordText (firstLosses options stop))
            printfn $"{path} is written."
            0
        else
            let recordedOn, recorded = readRecord path
            let losses = firstLosses options stop

            let gap =
                List.map2 (fun (a: float) b -> abs (a - b) / abs b) losses recorded |> List.max

            if losses = recorded then
                printfn $"The first {losses.Length} losses are the recorded ones, bit for bit."
                0
            elif gap <= elsewhere && BenchMachine.processor () <> recordedOn then
                printfn
                    $"""The first {losses.Length} losses are within {number "G2" gap} of those recorded on another processor ({recordedOn})."""

                0
            else
                userError $"""the losses differ from the recorded ones ({recordedOn}) by up to {number "G2" gap}."""

    let private train (options: ParseResults<PretrainOption>) (stop: CancellationToken) : int =
        check options

        match options.TryGetResult PretrainOption.Output with
        | _ when options.Contains PretrainOption.Check || options.Contains PretrainOption.Record ->
            repeatFirstSteps options stop
        | None -> userError "pretrain needs --output: the folder for checkpoints and the model."
        | Some folder ->
            let vocabulary = vocabularyFile options
            let tokenizer = Tokenizer.Load vocabulary
            let plan = plan options tokenizer

            if plan.Steps = 0 then
                userError "--steps and --instruction-steps are both 0: there is nothing to do."

            let device = Device.parse (options.GetResult(PretrainOption.Device, "cpu"))
            let precision = Precision.parse (options.GetResult(PretrainOption.Dtype, "float32"))

            let start = firstWeights options tokenizer precision device plan.Seed

            let model, losses = Pretraining.run plan start tokenizer device folder tell stop

            Checkpoint.save folder torch.bfloat16 (Model.freeze model)
            File.Copy(vocabulary, Path.Combine(folder, "spiece.model"), overwrite = true)
            printfn $"""{losses.Length} steps, last loss {number "F4" (List.last losses)}; the model is in {folder}."""
            0

    /// Trains, and writes the finished model as a Hugging Face checkpoint in bfloat16.
    let run (options: ParseResults<PretrainOption>) : int =
        Options.useThreads (options.TryGetResult PretrainOption.Threads)

        try
            train options (Guard.stopOnCtrlC ())
        with :? OperationCanceledException ->
            eprintfn "Stopped. The same command goes on from the last checkpoint."
            Guard.interrupted
