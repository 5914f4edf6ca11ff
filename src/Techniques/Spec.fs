namespace Peft

open System
open System.Text.Json
open TorchSharp

/// The learning rates that a technique starts from.
type Rates =
    {
        /// Initial, peak ('warmup') and final ('annealing') rate in the paper (A.1). The minus signs of the exponents are
        /// lost in the paper's text.
        Paper: float * float * float
        /// The peak for a model a thousand times smaller than the paper's, found by `scripts/search.fsx`.
        SmallPeak: float
    }

/// Tensors of an adapter folder of peft's that are not trained: VeRA's random matrices.
[<NoComparison; NoEquality>]
type Buffers =
    {
        /// Their names in the file.
        Names: string list
        /// A model's, in the order of the names; none where it has none.
        Of: Model -> torch.Tensor list
        /// The adapter around given ones.
        Around: torch.Tensor list -> Selector -> Adapter
        /// Whether the file holds them; otherwise they follow from the configuration.
        IsHeld: bool
    }

/// How Hugging Face's peft says a technique with its settings, and how it stores what is trained.
[<NoComparison; NoEquality>]
type HuggingFaceForm =
    {
        /// `LORA`, …
        Type: string
        /// The keys of `adapter_config.json` that decide the function, without those that are as by default.
        Keys: (string * JsonElement) list
        /// The modules that it changes; none where it changes no linear map.
        Where: Targeting option
        /// The same technique on exactly these modules, each with a map that it means.
        OnModules: (string * Site) list -> Technique
        /// The technique as peft has it on a model of this shape, where that is said otherwise than here.
        OnShape: Shape -> Technique option
        /// What peft notes of the base.
        Notes: Shape -> (string * JsonElement) list
        /// The configuration with what peft asks for beside the function, where it is missing.
        Completed: Map<string, JsonElement> -> Map<string, JsonElement>
        /// The names of trained tensors here and there, or their ends.
        Names: (string * string) list
        /// The shape in the file of a trained tensor of this name and shape.
        FileShape: string -> int64 list -> int64 list
        /// What the file holds of a trained tensor of this name.
        Stored: string -> torch.Tensor -> torch.Tensor
        /// How many times the rows of a prompt stand in the file; the first are read.
        Copies: int
        Buffers: Buffers option
        /// Why peft has it not on a model of this shape, where it has it elsewhere.
        Unserved: Shape -> string option
        /// What else the file may hold, which follows from the model: written, and compared where it is read.
        Companions: Model -> (string * torch.Tensor) list
        /// Whether the shapes follow from the configuration; where not, they are the model's business.
        HasFixedShapes: bool
    }

/// A technique with its settings: everything that the rest of the library needs to know of it. Two are equal whose words
/// are. A file of this folder makes each, with `Make.technique` and what differs from it.
and [<CustomEquality; CustomComparison>] Technique =
    {
        /// The canonical words, which `Technique.parse` reads back: `lora(rank=8,alpha=16)`.
        Words: string
        /// The short name: `lora`.
        Name: string
        /// Whether the words say all, so that they read back. A configuration of peft's can say more than words do.
        IsSaid: bool
        /// The technique on these sites, everything random following from the seed; one that stands at no linear map takes
        /// no notice of them.
        Apply: Selector -> int -> Adapter
        /// What it trains and computes.
        Form: Form
        /// What it is under other conventions of counting, where they know it.
        Others: (Convention * Form) list
        /// The rank of the update at each site, where there is one that the map's size bounds.
        Rank: int option
        Rates: Rates
        /// How many times the learning rate a parameter of this name moves by.
        RateMultiplier: string -> float
        /// AdamW's ε̂, which is added to the root of the second moment before that is corrected for its bias, where the
        /// technique has one of its own (Kingma and Ba 2015, end of §2).
        EpsilonHat: float option
        /// The optimiser of a run of so many steps, around the one that would serve without this technique.
        AroundOptimizer: int -> Model -> Optimizer -> Optimizer
        /// Whether a fresh adapter computes what the base computes, bit for bit.
        StartsAtBase: bool
        /// Whether it merges into a plain checkpoint.
        Merges: bool
        /// peft's form; none where peft has nothing of the kind.
        HuggingFace: HuggingFaceForm option
        /// What `modules_to_save` calls it beside another method.
        SavedModules: string list
        /// The parts of a chain.
        Parts: Technique list
    }

    /// The technique's own sites; none where it stands at no linear map.
    member technique.Sites: Selector option = technique.Form.Sites

    override technique.Equals other =
        match other with
        | :? Technique as other -> technique.Words = other.Words
        | _ -> false

    override technique.GetHashCode() = technique.Words.GetHashCode()
    override technique.ToString() = technique.Words

    interface IComparable with
        member technique.CompareTo other =
            match other with
            | :? Technique as other -> String.CompareOrdinal(technique.Words, other.Words)
            | _ -> invalidArg (nameof other) "a technique compares with techniques"

/// What a technique's name means: one a name, all of them in `Technique.specs`.
[<NoComparison; NoEquality>]
type Spec =
    {
        /// `lora`.
        Name: string
        /// The words with their settings, for people: `lora(rank=8,alpha=16,rs,dora)`.
        Usage: string
        /// Where it was published.
        Source: string
        /// What it does, in a sentence.
        Summary: string
        /// The setting that a number alone stands for.
        First: string
        /// The technique of these settings.
        Read: Words -> Technique
        /// Words that fit a model of width 16, on which the laws of the test suite run.
        Examples: string list
        HuggingFace: HuggingFaceReading option
    }

/// How `adapter_config.json` is read.
and [<NoComparison; NoEquality>] HuggingFaceReading =
    {
        /// `peft_type`.
        Type: string
        /// The keys that peft 0.20 writes beside the common ones, with its defaults, as the inside of a JSON object.
        Defaults: string
        /// Keys that leave the function as it is.
        Notes: string list
        /// The technique of these values.
        Read: HuggingFaceValues -> Technique
    }

/// The start of every technique.
[<RequireQualifiedAccess>]
module internal Make =
    /// The paper's rates for techniques that have none of their own.
    let rates: Rates =
        {
            Paper = (3e-4, 3e-3, 3e-4)
            SmallPeak = 1e-1
        }

    let words (name: string) (settings: string list) : string =
        match settings with
        | [] -> name
        | _ -> let inside = String.concat "," settings in $"{name}({inside})"

    /// A technique as most are: words that say all, the usual rates, nothing around the optimiser, a start at the base, a
    /// merge without rest, and nothing in peft.
    let technique (name: string) (settings: string list) (form: Form) (apply: Selector -> int -> Adapter) : Technique =
        {
            Words = words name settings
            Name = name
            IsSaid = true
            Apply = apply
            Form = form
            Others = []
            Rank = None
            Rates = rates
            RateMultiplier = fun _ -> 1.0
            EpsilonHat = None
            AroundOptimizer = fun _ _ optimizer -> optimizer
            StartsAtBase = true
            Merges = true
            HuggingFace = None
            SavedModules = []
            Parts = []
        }

    /// A form in peft as most are: tensors as they are, nothing beside them.
    let huggingFace (type': string) (keys: (string * JsonElement) list) (names: (string * string) list) =
        {
            Type = type'
            Keys = keys
            Where = None
            OnModules = fun _ -> userError $"{type'} of Hugging Face's peft takes no modules."
            OnShape = fun _ -> None
            Notes = fun _ -> []
            Completed = id
            Names = names
            FileShape = fun _ shape -> shape
            Stored = fun _ tensor -> tensor
            Copies = 1
            Buffers = None
            Unserved = fun _ -> None
            Companions = fun _ -> []
            HasFixedShapes = true
        }
