namespace Peft

/// What a task asks for.
[<RequireQualifiedAccess>]
type TaskKind =
    | Classification
    | Generation

/// What counts first.
[<RequireQualifiedAccess>]
type Priority =
    | Quality
    | Time
    | Memory
    /// Few trained parameters.
    | Size

/// What a user wants to know: which technique to take for so many training rows.
type Question =
    {
        Kind: TaskKind
        Rows: int
        Priority: Priority
        /// The most seconds that a run may take.
        MaxSeconds: float option
        /// The most resident memory of a run.
        MaxMemoryMiB: float option
        MaxParameters: int64 option
        /// Elements of the base model that is to be tuned; none where nobody says.
        ModelParameters: float option
        /// Techniques below this share of the best expected score come after the others, however fast or small they are.
        Floor: float
    }

[<RequireQualifiedAccess>]
module Question =
    /// Quality first, no limit.
    let create (kind: TaskKind) (rows: int) : Question =
        {
            Kind = kind
            Rows = rows
            Priority = Priority.Quality
            MaxSeconds = None
            MaxMemoryMiB = None
            MaxParameters = None
            ModelParameters = None
            Floor = 0.9
        }

    /// `classification` or `generation`.
    let kind (text: string) : TaskKind =
        match text.Trim().ToLowerInvariant() with
        | "classification" -> TaskKind.Classification
        | "generation" -> TaskKind.Generation
        | _ -> userError $"\"{text}\" is no kind of task. Choose classification or generation."

    /// `quality`, `time`, `memory` or `size`.
    let priority (text: string) : Priority =
        match text.Trim().ToLowerInvariant() with
        | "quality" -> Priority.Quality
        | "time" -> Priority.Time
        | "memory" -> Priority.Memory
        | "size" -> Priority.Size
        | _ -> userError $"\"{text}\" is no priority. Choose quality, time, memory or size."

    /// The word that `priority` reads.
    let priorityName (priority: Priority) : string =
        match priority with
        | Priority.Quality -> "quality"
        | Priority.Time -> "time"
        | Priority.Memory -> "memory"
        | Priority.Size -> "size"

    /// The level whose most rows hold the question's: more than 1,000 rows are high.
    let level (question: Question) : Level = Level.ofRows question.Rows

    let internal check (question: Question) : unit =
        if question.Rows < 1 then
            userError $"{question.Rows} training rows cannot train anything. Give 1 or more."

        if not (question.Floor >= 0.0 && question.Floor <= 1.0) then
            userError $"The least share of the best score is {question.Floor}. Give a number from 0 to 1."

        let positive name isGiven =
            if not isGiven then
                userError $"The limit of {name} must be above 0, or no technique meets it."

        positive "seconds" (question.MaxSeconds |> Option.forall (fun limit -> limit > 0.0))
        positive "memory" (question.MaxMemoryMiB |> Option.forall (fun limit -> limit > 0.0))
        positive "parameters" (question.MaxParameters |> Option.forall (fun limit -> limit > 0L))
