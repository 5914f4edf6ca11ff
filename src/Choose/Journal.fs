namespace Peft

open System.IO

/// A contender in words, as files have it.
type WrittenContender =
    {
        Technique: string
        Placement: string
        /// The highest learning rate.
        Peak: float
    }

/// A step of a race that is decided: its runs, which any process may make.
type Stage =
    {
        /// `rung 1`, `finals, seed 2`.
        Name: string
        /// Whether the runs are tested on the test rows; else on the validation rows.
        IsFinal: bool
        /// Whether the base model's own answers belong to it.
        HasBaselines: bool
        Contenders: WrittenContender list
        /// Training rows of a run.
        Rows: int
        /// The most epochs of a run.
        Epochs: int
        Seed: int
    }

/// What a race has behind it, for a second call and for the processes that help.
type Journal =
    {
        /// What the race is about: question, rows, model and budget, as a digest.
        Key: string
        /// Wall-clock seconds that it has taken.
        Seconds: float
        Pace: Pace option
        Plan: TrialPlan option
        Stages: Stage list
        /// Whether there is nothing left to do.
        IsOver: bool
        /// Times that test rows have been scored for a choice in this folder.
        TestScorings: int
    }

[<RequireQualifiedAccess>]
module Journal =
    /// A race that has not begun.
    let fresh (key: string) : Journal =
        {
            Key = key
            Seconds = 0.0
            Pace = None
            Plan = None
            Stages = []
            IsOver = false
            TestScorings = 0
        }

    /// Where a folder's race is noted.
    let path (folder: string) : string = Path.Combine(folder, "choose.json")

    /// The race that a folder holds; none where there is none or its file is damaged.
    let tryRead (folder: string) : Journal option =
        let path = path folder

        if File.Exists path then
            try
                Some(Json.read<Journal> Json.options path)
            with UserError _ ->
                None
        else
            None

    /// Notes it, whole or not at all.
    let write (folder: string) (journal: Journal) : unit =
        Files.writeAtomically (path folder) (System.Text.Json.JsonSerializer.Serialize(journal, Json.options) + "\n")

    /// A contender for a file.
    let ofContender (contender: Contender) : WrittenContender =
        {
            Technique = Technique.text contender.Technique
            Placement = Placement.text contender.Placement
            Peak = contender.Peak
        }

    /// A contender of a file.
    let toContender (written: WrittenContender) : Contender =
        {
            Technique = Technique.parse written.Technique
            Placement = Placement.parse written.Placement
            Peak = written.Peak
        }
