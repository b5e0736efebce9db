# Completion of facelime for bash: source <(facelime completion bash)
_facelime() {
    local answer line files=
    COMPREPLY=()
    answer=$(_FACELIME_COMPLETE=bash "${1/#\~/$HOME}" "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null) || return
    while IFS= read -r line; do
        if [[ -z $files ]]; then files=$line; else COMPREPLY+=("$line"); fi
    done <<< "$answer"
    # Without a word of its own, bash offers files.
    if [[ $files != files ]]; then compopt +o default 2>/dev/null; fi
}
complete -o default -F _facelime facelime
