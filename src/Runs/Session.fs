namespace Peft

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open TorchSharp

/// What a session loads, and where it computes. What decides a run's result is in `Experiment`.
type SessionOptions =
    {
        /// A Hugging Face checkpoint folder, or a name of the hub, `owner/name[@revision]`.
        ModelFolder: string
        /// Or `hub`.
        DataFolder: string
        /// `cpu`, `cuda` or `cuda:1`.
        Device: string
        /// `float32` or `bfloat16`.
        Precision: string
    }

[<RequireQualifiedAccess>]
module SessionOptions =
    /// A checkpoint and a data folder, on the CPU in float32.
    let create (modelFolder: string) (dataFolder: string) : SessionOptions =
        {
            ModelFolder = modelFolder
            DataFolder = dataFolder
            Device = "cpu"
            Precision = "float32"
        }

    /// The model and the data that come with the repository.
    let embedded () : SessionOptions =
        create (Embedded.modelFolder ()) (Embedded.dataFolder ())

/// A split and its rows as token ids.
type EncodedSplit =
    {
        Split: Split
        Train: EncodedRow[]
        Validation: EncodedRow[]
        Test: EncodedRow[]
        /// The ids of each of the task's labels, in their order, `</s>` included; none for generation.
        Labels: int[][]
        /// Seconds that reading and encoding took.
        Seconds: float
    }

/// The base model, tokenizer and splits that the runs of a sweep share: each is loaded once, when it is first needed, and
/// never changed. What a name of the hub means is asked once, with the settings of `hub`, which is called only for such a name.
/// Not for several threads at once.
type Session(options: SessionOptions, hub: unit -> HubSettings) =
    let options =
        { options with
            ModelFolder = Hub.model hub options.ModelFolder
        }

    let device = Device.parse options.Device
    let precision = Precision.parse options.Precision

    let timed (work: unit -> 'a) =
        let watch = Stopwatch.StartNew()
        let result = work ()
        result, watch.Elapsed.TotalSeconds

    /// The model outlives the scope of the run that first needs it; what loading it left over does not.
    let loadModel () =
        use _ = torch.NewDisposeScope()
        let model = Checkpoint.load device precision options.ModelFolder

        for _, leaf in Model.leaves model do
            leaf.Value.DetachFromDisposeScope() |> ignore

        model

    let model = lazy timed loadModel
    let tokenizer = lazy Checkpoint.tokenizer options.ModelFolder
    let fingerprint = lazy Checkpoint.fingerprint options.ModelFolder
    let pools = Dictionary<string, Pools * float>()
    let places = Dictionary<string, string * TaskDefinition>()
    let splits = Dictionary<string * Level * int * int * int, Split>()
    let encoded = Dictionary<string, EncodedSplit>()

    let cached (store: Dictionary<'key, 'value>) (key: 'key) (make: unit -> 'value) =
        match store.TryGetValue key with
        | true, found -> found
        | false, _ ->
            let made = make ()
            store[key] <- made
            made

    let placeOf (task: TaskDefinition) =
        cached places task.Name (fun () -> HubData.locate hub options.DataFolder task)

    let poolsOf (task: TaskDefinition) =
        cached pools task.Name (fun () -> timed (fun () -> placeOf task ||> Split.load))

    let checkVocabulary () =
        let tokens, rows =
            tokenizer.Value.VocabularySize, (fst model.Value).Shape.Vocabulary

        if tokens > rows then
            userError
                $"{tokenizer.Value.File} has {tokens} tokens and the model embeds {rows}: they do not belong together."

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
            Labels =
                task.Labels
                |> List.map (fun label -> tokenizer.Encode(label, targetLimit))
                |> Array.ofList
            Seconds = readSeconds + seconds
        }

    /// The same with the hub's settings of the environment, which tell nothing of how a download goes.
    new(options: SessionOptions) = Session(options, HubSettings.ofEnvironment)

    /// Loads the base model and its tokenizer, if they are not yet loaded. `UserError` where the vocabulary has more tokens
    /// than the model embeds.
    member _.CheckVocabulary() : unit = checkVocabulary ()

    /// What it was made from; a name of the hub has become its folder in the cache.
    member _.Options: SessionOptions = options
    /// Where tensors lie.
    member _.Device: torch.Device = device

    /// The tokenizer of the base model's folder.
    member _.Tokenizer: Tokenizer = tokenizer.Value

    /// The base model, every leaf frozen.
    member _.Model: Model = fst model.Value

    /// Seconds that loading the base model took.
    member _.LoadSeconds: float = snd model.Value

    /// What tells this base model from others.
    member _.Fingerprint: string = fingerprint.Value

    /// The commit of the hub that the model is of; none for another folder.
    member _.BaseCommit: string option = Hub.commitOf options.ModelFolder

    /// The commit of the hub that a task's rows are of; none where they are of a data folder.
    member _.DataCommit(task: TaskDefinition) : string option = Hub.commitOf (fst (placeOf task))

    /// The split of a task; the same for every technique.
    member _.Split(task: TaskDefinition, level: Level, seed: int, validationLimit: int, testLimit: int) : Split =
        cached splits (task.Name, level, seed, validationLimit, testLimit) (fun () ->
            Split.ofPools (fst (poolsOf task)) task level seed validationLimit testLimit)

    /// Rows that are at hand already serve as a task's, instead of its files.
    member internal _.Adopt(task: TaskDefinition, rows: Pools) : unit = pools[task.Name] <- (rows, 0.0)

    /// The training rows of a task that a level may take from (`Split.available`).
    member _.Available(task: TaskDefinition, validationLimit: int) : int =
        Split.available (fst (poolsOf task)) task validationLimit

    /// A split's rows as token ids.
    member _.Encoded(task: TaskDefinition, split: Split, inputLimit: int, targetLimit: int) : EncodedSplit =
        let found =
            cached encoded $"{split.Fingerprint} {inputLimit} {targetLimit}" (fun () ->
                encode split task inputLimit targetLimit (snd (poolsOf task)))

        // Levels that take the same rows share their ids, and each says of itself how it came to them.
        { found with Split = split }
