namespace Peft

open System.Diagnostics
open Argu
open TorchSharp

/// The options of `params`.
[<RequireQualifiedAccess>]
type ParamsOption =
    | [<AltCommandLine("-m")>] Model of names: string list
    | [<AltCommandLine("--technique", "-p")>] Techniques of names: string list
    | [<AltCommandLine("--placement", "-w")>] Placements of words: string list
    | [<Unique>] Convention of name: string
    | Conventions
    | Paper

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Model _ ->
                "Sizes of FLAN-T5 (small, base, large, xl, xxl), model folders, config.json files or names of the hub. base if not given."
            | Techniques _ ->
                "Techniques, for example lora, 'lora(rank=8,alpha=16)', paper-lora, ia3. The paper's five if not given."
            | Placements _ ->
                "Where the technique goes: all, early, late, 'random(seed=3)', 'not(self)', 'late & q,v', 'only(wo)', … all if not given."
            | Convention _ -> "Whose counting: paper, tfew or hf. paper if not given."
            | Conventions -> "Print the counts of all three conventions side by side."
            | Paper -> "Print the paper's Table 3 and A.4 beside what is counted here, and every size of FLAN-T5."

/// The options of `plan`.
[<RequireQualifiedAccess>]
type PlanOption =
    | [<Unique; AltCommandLine("-m")>] Model of name: string
    | [<Unique; AltCommandLine("-p")>] Technique of words: string
    | [<Unique; AltCommandLine("-w")>] Placement of words: string
    | [<Unique>] Dtype of name: string
    | [<Unique>] Batch_Size of rows: int
    | [<Unique>] Accumulation of batches: int
    | [<Unique>] Input_Length of tokens: int
    | [<Unique>] Target_Length of tokens: int
    | Recompute
    | [<Unique>] Gflops of speed: float
    | Sites

    interface IArgParserTemplate with
        member option.Usage =
            match option with
            | Model _ ->
                "A size of FLAN-T5 (small, base, large, xl, xxl), a model folder, a config.json file or a name of the hub. base if not given."
            | Technique _ -> "The technique. lora if not given."
            | Placement _ -> "Where the technique goes. all if not given."
            | Dtype _ -> "Dtype of frozen weights and activations: float32 or bfloat16. float32 if not given."
            | Batch_Size _ -> "Rows of a micro-batch. 16 if not given."
            | Accumulation _ -> "Micro-batches of an optimiser step. 4 if not given."
            | Input_Length _ -> "Tokens of every input. 256 if not given."
            | Target_Length _ -> "Tokens of every target. 64 if not given."
            | Recompute -> "Compute the inside of every block again in the backward pass instead of keeping it."
            | Gflops _ ->
                "The machine's speed in GFLOP/s, for the time of a step. Measured with a matrix product if not given."
            | Sites -> "List every site with its shapes."

/// Commands that count before anything is loaded.
[<RequireQualifiedAccess>]
module CountCommands =
    let private placements given =
        match given with
        | [] -> [ Placement.everywhere ]
        | words -> words |> List.map Placement.parse

    /// Prints trained and total parameters without weights.
    let parameters (options: ParseResults<ParamsOption>) : int =
        let techniques =
            match options.GetResult(ParamsOption.Techniques, []) |> Options.names with
            | [] -> Technique.paper
            | names -> names |> List.map Technique.parse

        let models = options.GetResult(ParamsOption.Model, [ "base" ]) |> Options.names

        if options.Contains ParamsOption.Paper then
            printfn $"{Accounting.paperTable ()}\n\n{Accounting.sizeTable ()}"
        else
            for model in models do
                let shape = Checkpoint.shape model
                printfn $"{model}"

                if options.Contains ParamsOption.Conventions then
                    printfn $"{Accounting.conventionTable shape techniques}\n"
                else
                    let convention =
                        Convention.parse (options.GetResult(ParamsOption.Convention, "paper"))

                    let placements = placements (options.GetResult(ParamsOption.Placements, []))

                    // As a sweep does: a technique without linear maps is counted where it belongs.
                    let placesOf technique =
                        if (Placement.standard technique).IsSome then
                            placements
                        else
                            [ Placement.everywhere ]

                    let variants =
                        techniques
                        |> List.collect (fun technique ->
                            placesOf technique |> List.map (fun placement -> technique, placement))

                    printfn $"{Accounting.table shape convention variants}\n"

        0

    /// The speed of a large matrix product, in GFLOP/s: the best of a few.
    let private measuredSpeed (precision: torch.ScalarType) =
        use _ = torch.NewDisposeScope()
        let size = 1024L
        let left = torch.ones(size, size).``to`` precision
        left.mm left |> ignore

        let once () =
            let watch = Stopwatch.StartNew()
            left.mm left |> ignore
            2.0 * float size ** 3.0 / watch.Elapsed.TotalSeconds / 1e9

        List.init 5 (fun _ -> once ()) |> List.max

    /// Prints what an experiment would train, take and need.
    let plan (options: ParseResults<PlanOption>) : int =
        let shape = Checkpoint.shape (options.GetResult(PlanOption.Model, "base"))
        let technique = Technique.parse (options.GetResult(PlanOption.Technique, "lora"))
        let placement = Placement.parse (options.GetResult(PlanOption.Placement, "all"))
        let precision = Precision.parse (options.GetResult(PlanOption.Dtype, "float32"))

        let planned =
            Plan.create
                shape
                technique
                placement
                {
                    Batch = options.GetResult(PlanOption.Batch_Size, 16)
                    Accumulation = options.GetResult(PlanOption.Accumulation, 4)
                    InputLength = options.GetResult(PlanOption.Input_Length, 256)
                    TargetLength = options.GetResult(PlanOption.Target_Length, 64)
                    Precision = precision
                    Recomputes = options.Contains PlanOption.Recompute
                }

        let speed =
            options.TryGetResult PlanOption.Gflops
            |> Option.defaultWith (fun () -> measuredSpeed precision)

        printfn $"{Plan.text (Some speed) planned}"

        if options.Contains PlanOption.Sites then
            printfn $"\n{Plan.siteTable planned}"

        0
