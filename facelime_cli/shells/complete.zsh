#compdef facelime
# Completion of facelime for zsh, behind compinit: source <(facelime completion zsh)
_facelime() {
    local -a answer plain shown
    local line files
    answer=("${(@f)$(_FACELIME_COMPLETE=zsh ${~words[1]} "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    files=$answer[1]
    shift answer
    for line in $answer; do
        plain+=("${line%%$'\t'*}")
        if [[ -n ${line#*$'\t'} ]]; then shown+=("${line%%$'\t'*}  -- ${line#*$'\t'}"); else shown+=("${line%%$'\t'*}"); fi
    done
    (( $#plain )) && compadd -l -d shown -a plain
    if [[ $files == files ]]; then _files; fi
}
if [[ $funcstack[1] == _facelime ]]; then
    _facelime "$@"
else
    compdef _facelime facelime
fi
