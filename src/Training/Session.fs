namespace Peft

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open Peft.T5
open TorchSharp

/// Where a run happens: base model, data, device. What decides its result is in `Experiment`.
type Place =
    {
        /// A Hugging Face checkpoint folder with `spiece.model`.
        ModelFolder: string
        DataFolder: string
        /// `cpu`, `cuda` or `cuda:1`.
        Device: string
        /// `float32` or `bfloat16`.
        Precision: string
    }

/// A split and its rows as token ids.
type EncodedSplit =
    {
        Split: Split
        Train: EncodedRow[]
        Validation: EncodedRow[]
        Test: EncodedRow[]
        /// The ids of the longest target of the label set, `</s>` included; none for generation.
        LongestLabel: int option
        /// Seconds that reading and encoding took.
        Seconds: float
    }

[<RequireQualifiedAccess>]
module Device =
    /// `cpu`, `cuda` or `cuda:1`; `UserError` where there is no such device.
    let parse (text: string) : torch.Device =
        match text.ToLowerInvariant().Split(':') with
        | [| "cpu" |] -> torch.CPU
        | [| "cuda" |] when torch.cuda.is_available () -> torch.device "cuda"
        | [| "cuda"; index |] when
            torch.cuda.is_available ()
            && fst (Int32.TryParse index)
            && int index < torch.cuda.device_count ()
            ->
            torch.device $"cuda:{index}"
        | [| "cuda" |]
        | [| "cuda"; _ |] ->
            userError
                $"there is no device '{text}' here: this build sees {torch.cuda.device_count ()} CUDA devices. Build with -p:TorchBackend=cuda on a machine that has one, or use --device cpu."
        | _ -> userError $"'{text}' is no device: use cpu, cuda or cuda:<number>."

[<RequireQualifiedAccess>]
module Precision =
    /// `float32` or `bfloat16`.
    let parse (text: string) : torch.ScalarType =
        match text.ToLowerInvariant() with
        | "float32" -> torch.float32
        | "bfloat16" -> torch.bfloat16
        | _ -> userError $"'{text}' is no dtype of this program: use float32 or bfloat16."

/// The base model, tokenizer and splits that the runs of a sweep share: each is loaded once, when it is first needed, and
/// never changed. Not for several threads at once.
type Session(place: Place) =
    let device = Device.parse place.Device
    let precision = Precision.parse place.Precision

    let timed (work: unit -> 'a) =
        let watch = Stopwatch.StartNew()
        let result = work ()
        result, watch.Elapsed.TotalSeconds

    /// The model outlives the scope of the run that first needs it; what loading it left over does not.
    let loadModel () =
        use _ = torch.NewDisposeScope()
        let model = Checkpoint.load device precision place.ModelFolder

        for _, leaf in Model.leaves model do
            leaf.Value.DetachFromDisposeScope() |> ignore

        model

    let model = lazy timed loadModel
    let tokenizer = lazy Tokenizer.Load place.ModelFolder
    let fingerprint = lazy Checkpoint.fingerprint place.ModelFolder
    let pools = Dictionary<string, Pools * float>()
    let splits = Dictionary<string * Level * int * int * int, Split>()
    let encoded = Dictionary<string, EncodedSplit>()

    let cached (store: Dictionary<'key, 'value>) (key: 'key) (make: unit -> 'value) =
        match store.TryGetValue key with
        | true, found -> found
        | false, _ ->
            let made = make ()
            store[key] <- made
            made

    let poolsOf (task: TaskDefinition) =
        cached pools task.Name (fun () -> timed (fun () -> Pools.load place.DataFolder task))

    let checkVocabulary () =
        let tokens, rows =
            tokenizer.Value.VocabularySize, (fst model.Value).Config.VocabularySize

        if tokens > rows then
            userError
                $"{place.ModelFolder}: spiece.model has {tokens} tokens and the model embeds {rows}: they do not belong together."

    let encode (split: Split) (task: TaskDefinition) (inputLimit: int) (targetLimit: int) (readSeconds: float) =
        let tokenizer = tokenizer.Value
        checkVocabulary ()

        let rows (examples: Example[]) =
            examples
            |> Array.map (fun example ->
                {
                    Ids = tokenizer.Encode(example.Input, inputLimit)
                    Labels = tokenizer.Encode(example.Target, targetLimit)
                })

        let (train, validation, test), seconds =
            timed (fun () -> rows split.Train, rows split.Validation, rows split.Test)

        {
            Split = split
            Train = train
            Validation = validation
            Test = test
            LongestLabel =
                match TaskDefinition.labels task with
                | [] -> None
                | labels ->
                    labels
                    |> List.map (fun label -> (tokenizer.Encode label).Length)
                    |> List.max
                    |> Some
            Seconds = readSeconds + seconds
        }

    /// Loads the base model and its tokenizer, if they are not yet loaded. `UserError` where the vocabulary has more tokens
    /// than the model embeds.
    member _.CheckVocabulary() : unit = checkVocabulary ()

    member _.Place = place
    member _.Device = device
    member _.Tokenizer: Tokenizer = tokenizer.Value

    /// The base model, every leaf frozen.
    member _.Model: Model = fst model.Value

    /// Seconds that loading the base model took.
    member _.LoadSeconds: float = snd model.Value

    /// What tells this base model from others.
    member _.Fingerprint: string = fingerprint.Value

    /// The split of a task; the same for every technique.
    member _.Split(task: TaskDefinition, level: Level, seed: int, validationLimit: int, testLimit: int) : Split =
        cached splits (task.Name, level, seed, validationLimit, testLimit) (fun () ->
            Split.ofPools (fst (poolsOf task)) task level seed validationLimit testLimit)

    /// A split's rows as token ids.
    member _.Encoded(task: TaskDefinition, split: Split, inputLimit: int, targetLimit: int) : EncodedSplit =
        cached encoded $"{split.Fingerprint} {inputLimit} {targetLimit}" (fun () ->
            encode split task inputLimit targetLimit (snd (poolsOf task)))
